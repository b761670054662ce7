/** Streaming: print the text as it arrives, then read the usage of the whole response. */
import { createLLM } from 'convoke'

const llm = createLLM('anthropic/claude-haiku-4-5')
const stream = llm.stream('Tell me a story.')

for await (const chunk of stream) process.stdout.write(chunk.content)

const { usage, finishReason } = await stream.response
console.log(`\n${usage.outputTokens} tokens, ended by ${finishReason}`)
