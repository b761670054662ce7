/** convoke's store, built, as users get it. */
import SQLite from 'better-sqlite3'
import type { AddedMessage } from '../../../src/store/store.ts'
import { messageId } from '../../../src/store/message-id.ts'
import { importConvoke } from '../built.ts'
import type { CreateKeeper, OpenLong } from './keeper.ts'
import { lastMessages, longSession, longSessionMessages, messageText } from './loads.ts'

const { countTokens, createLLM, createSession, sqliteStore } = await importConvoke()

export const createKeeper: CreateKeeper = (file, durability) => {
  const store = sqliteStore({ path: file, durability })
  return {
    prepare: async (conversations) => {
      await Promise.all(conversations.map((id) => store.open({ id })))
    },
    add: (conversation, messages) =>
      store.addMessages(
        conversation,
        messages.map(({ role, text }) => message(role, text)),
      ),
    countTokens: async (text) => (await countTokens(text, { model: 'gpt-4o' })).tokens,
    count: () => countMessages(file),
    close: () => store.close(),
  }
}

function message(role: 'user' | 'assistant', text: string): AddedMessage {
  return { id: messageId(), role, content: [{ type: 'text', text }] }
}

function countMessages(file: string): number {
  const database = new SQLite(file, { readonly: true })
  try {
    return database.prepare('SELECT count(*) FROM messages').pluck().get() as number
  } finally {
    database.close()
  }
}

/** Makes the long session. The search indexes it, as the store does by itself after a while without work. */
export async function buildLongSession(file: string): Promise<void> {
  await using store = sqliteStore({ path: file })
  await store.open({ id: longSession })
  const size = 1_000
  for (let first = 0; first < longSessionMessages; first += size) {
    const page = Array.from({ length: size }, (_, at) =>
      message(at % 2 === 0 ? 'user' : 'assistant', messageText(first + at)),
    )
    await store.addMessages(longSession, page)
  }
  await store.search('fox', { limit: 1 })
}

/** Opens a store with a new thread and a new connection. */
export const openLong: OpenLong = (file) => {
  const store = sqliteStore({ path: file })
  const llm = createLLM('ollama/llama3.2')
  return {
    readLast: async () => {
      const session = createSession(llm, { store, id: longSession })
      return (await session.history({ limit: lastMessages })).map(({ sequence }) => sequence)
    },
    close: () => store.close(),
  }
}
