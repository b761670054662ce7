/** A session: the conversation is stored in a file. Run the script again, and it goes on where it stopped. */
import { createLLM, createSession } from 'convoke'

const llm = createLLM('anthropic/claude-haiku-4-5')
await using session = createSession(llm, {
  store: process.env['CHAT_DB'] ?? 'chat.db',
  id: 'alice',
  system: 'Be brief.',
  context: { onOverflow: 'compact' },
})

const before = await session.history()
console.log(before.length === 0 ? 'A new conversation.' : `Welcome back: ${before.length} messages so far.`)
if (before.length === 0) await session.agenerate('My name is Alice.')

const { content, usage } = await session.agenerate('What is my name?')
console.log(`${content} (${usage.inputTokens} tokens of input)`)
