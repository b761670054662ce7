/** A first call: ask a question, and print the answer with its tokens and its time. */
import { createLLM } from 'convoke'

const llm = createLLM('openai/gpt-4o-mini')
const reply = await llm.agenerate('What is the capital of France?')

console.log(reply.content)
console.log(
  `${reply.usage.totalTokens} tokens, ${reply.timing.totalMs.toFixed(0)} ms, ended by ${reply.finishReason}`,
)
