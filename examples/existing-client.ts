/** An SDK client that you already have: pass it to createLLM, and its settings are kept. */
import OpenAI from 'openai'
import { createLLM } from 'convoke'

const client = new OpenAI({ maxRetries: 5, timeout: 20_000 })
const llm = createLLM(client, { model: 'gpt-4o-mini' })

console.log((await llm.agenerate('Hello')).content)
