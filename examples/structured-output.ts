/** Validated output: a schema goes to the vendor in its own way, and the reply comes back as a typed value. */
import * as z from 'zod'
import { createLLM } from 'convoke'

const capital = z.object({ city: z.string(), inhabitants: z.number() })
const llm = createLLM('openai/gpt-4o-mini')

const { output } = await llm.agenerate('The capital of France, as JSON', { schema: capital })
console.log(`${output?.city} has ${output?.inhabitants.toLocaleString('en')} inhabitants.`)
