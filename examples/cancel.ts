/** Cancelling: abort a signal, or leave the loop. Both close the socket, and the usage so far is known. */
import { createLLM, isConvokeError } from 'convoke'

const llm = createLLM('gemini/gemini-2.5-flash')
const controller = new AbortController()

try {
  for await (const { content } of llm.stream('Tell me a story.', { signal: controller.signal })) {
    process.stdout.write(content)
    if (content.includes('a')) controller.abort()
  }
} catch (error) {
  if (!isConvokeError(error) || error.code !== 'cancelled') throw error
  console.log(`\ncancelled after about ${error.partial?.usage.outputTokens} tokens`)
}

// No signal is needed here: leaving the loop cancels the call.
for await (const { content } of llm.stream('Tell me a story.')) {
  if (content) break
}
console.log(`left the loop; calls in flight: ${llm.activity.running}`)
