/** Errors: one class with the same codes for all vendors, and the part of the reply that had arrived. */
import { createLLM, isConvokeError } from 'convoke'

const llm = createLLM('openai/gpt-4o-mini', { retry: { attempts: 2 } })
// The simulator breaks this stream in the middle; real vendors ignore the header.
const headers = { 'x-simulator-fault': '{"endAfter":0.5}' }
const broken = createLLM('openai/gpt-4o-mini', { headers })

try {
  for await (const chunk of broken.stream('Tell me a story.')) process.stdout.write(chunk.content)
} catch (error) {
  if (!isConvokeError(error)) throw error
  switch (error.code) {
    case 'stream_truncated':
      console.log(`\nThe stream broke after ${error.partial?.content.length} characters.`)
      break
    case 'rate_limited':
      console.log(`\nWait ${error.retryAfterMs} ms.`)
      break
    default:
      console.log(`\n${error.message}`)
  }
}
// A mistake in the call fails at once, and the message says what to do.
await llm.agenerate('').catch((error) => console.log(error.message))
