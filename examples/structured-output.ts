/** Structured output: pass a schema, and get a validated, typed value back. It works the same on every vendor. */
import * as z from 'zod'
import { createLLM } from 'convoke'

const capital = z.object({ city: z.string(), inhabitants: z.number() })
const llm = createLLM('openai/gpt-4o-mini')

const { output } = await llm.agenerate('The capital of France, as JSON', { schema: capital })
console.log(`${output?.city} has ${output?.inhabitants.toLocaleString('en')} inhabitants.`)
