/** Blocking calls: a script without `await` makes calls, reads a stream in a plain loop, and uses a session. */
import { createLLM, createSession, isConvokeError } from 'convoke'

const llm = createLLM('openai/gpt-4o-mini')
console.log(llm.generate('What is the capital of France?').content)

for (const { content } of llm.generate('Tell me a story.', { stream: true })) process.stdout.write(content)
console.log()

// Blocking calls work in code that cannot await: in a callback of replace(), a comparison or a getter.
const cities = 'the capital of France'.replace(/the capital of \w+/, (words) => llm.generate(words).content)
console.log(cities)

const session = createSession(llm, { store: process.env['CHAT_DB'] ?? 'chat.db' })
session.generate('My name is Alice.')
console.log(session.generate('What is my name?').content)

// generate() throws while another call is in flight, because blocking would stop that call.
const pending = llm.agenerate('Hello!')
try {
  llm.generate('Hello!')
} catch (error) {
  console.log(isConvokeError(error) && error.code)
}
void pending
