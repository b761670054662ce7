/** Errors: one class, one set of codes for all vendors, and what had arrived before the error. */
import { createLLM, isConvokeError } from 'convoke'

const llm = createLLM('openai/gpt-4o-mini', { retry: { attempts: 2 } })
// The simulator breaks this stream in the middle; a real vendor takes no notice of the header.
const headers = { 'x-simulator-fault': '{"endAfter":0.5}' }
const fragile = createLLM('openai/gpt-4o-mini', { headers })

try {
  for await (const chunk of fragile.stream('Tell me a story.')) process.stdout.write(chunk.content)
} catch (error) {
  if (!isConvokeError(error)) throw error
  switch (error.code) {
    case 'stream_truncated':
      console.log(`\nIt broke off after ${error.partial?.content.length} characters.`)
      break
    case 'rate_limited':
      console.log(`\nWait ${error.retryAfterMs} ms.`)
      break
    default:
      console.log(`\n${error.message}`)
  }
}
await llm.agenerate('').catch((error) => console.log(error.message))
