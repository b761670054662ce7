/** A script without a single await: calls that block, a stream in a plain loop, and a session. */
import { createLLM, createSession, isConvokeError } from 'convoke'

const llm = createLLM('openai/gpt-4o-mini')
console.log(llm.generate('What is the capital of France?').content)

for (const { content } of llm.generate('Tell me a story.', { stream: true })) process.stdout.write(content)
console.log()

// In the middle of code that cannot wait: a comparison, a replacement, a getter.
const cities = 'the capital of France'.replace(/the capital of \w+/, (words) => llm.generate(words).content)
console.log(cities)

const session = createSession(llm, { store: process.env['CHAT_DB'] ?? 'chat.db' })
session.generate('My name is Alice.')
console.log(session.generate('What is my name?').content)

// Where blocking would stop other work, it is refused.
const waiting = llm.agenerate('Hello!')
try {
  llm.generate('Hello!')
} catch (error) {
  console.log(isConvokeError(error) && error.code)
}
void waiting
