/** Branches: a fork shares the history and then continues by itself. A search finds messages in all branches. */
import { createLLM, createSession, sqliteStore } from 'convoke'

await using store = sqliteStore({ path: process.env['CHAT_DB'] ?? 'chat.db', durability: 'normal' })
await using session = createSession(createLLM('cohere/command-a-03-2025'), { store })

const { messageId } = await session.agenerate('What is the capital of France?')
await session.agenerate('Tell me a story.')

const branch = await session.fork({ at: messageId })
await branch.agenerate('What is the square root of 81?')
console.log('session:', (await session.history()).length, 'messages')
console.log('branch:', (await branch.history()).length, 'messages, two of them shared')

for (const { message, snippet } of await store.search('capital', { limit: 1 })) {
  console.log(`found: ${message.role}: ${snippet}`)
}
console.log('summary:', (await store.list()).length > 1 ? 'both are kept' : 'one is kept')
await session.delete()
await branch.delete()
