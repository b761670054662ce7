/**
 * better-sqlite3 on the main thread, as users write it by hand: one table, one index, a transaction for each addition.
 * The event loop is blocked meanwhile.
 */
import { randomUUID } from 'node:crypto'
import SQLite from 'better-sqlite3'
import { countTokens } from 'gpt-tokenizer'
import type { CreateKeeper, OpenLong, Said } from './keeper.ts'
import { lastMessages, longSession } from './loads.ts'

const schema = `CREATE TABLE messages (
  sequence INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  parent TEXT,
  session TEXT NOT NULL,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_session ON messages (session, sequence)`

export const createKeeper: CreateKeeper = (file, durability) => {
  const database = new SQLite(file)
  database.pragma('journal_mode = WAL')
  database.pragma(`synchronous = ${durability}`)
  database.exec(schema)
  const insert = database.prepare(
    'INSERT INTO messages (id, parent, session, role, content, created_at) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const heads = new Map<string, string>()
  const addAll = database.transaction((conversation: string, messages: readonly Said[]) => {
    for (const { role, text } of messages) {
      const id = randomUUID()
      const content = JSON.stringify([{ type: 'text', text }])
      insert.run(id, heads.get(conversation) ?? null, conversation, role, content, Date.now())
      heads.set(conversation, id)
    }
  }).immediate
  return {
    prepare: () => undefined,
    add: (conversation, messages) => void addAll(conversation, messages),
    countTokens,
    count: () => database.prepare('SELECT count(*) FROM messages').pluck().get() as number,
    close: () => void database.close(),
  }
}

/** The lower bound: a connection to the file that convoke made, and one query. */
export const openLong: OpenLong = (file) => {
  const database = new SQLite(file)
  const select = database.prepare<[string, number], { sequence: number; content: string }>(
    'SELECT * FROM messages WHERE session_id = ? ORDER BY sequence DESC LIMIT ?',
  )
  return {
    readLast: () => {
      const rows = select.all(longSession, lastMessages)
      return rows.map(({ content, sequence }) => (JSON.parse(content), sequence))
    },
    close: () => void database.close(),
  }
}
