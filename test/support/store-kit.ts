/** Stores in folders of their own, and short ways to fill them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import type { AssistantPart, TextPart } from '../../src/types.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { SqliteStoreOptions } from '../../src/store/sqlite/sqlite-store.ts'
import type { NewMessage, Store, StoredMessage, Writer } from '../../src/store/store.ts'

/** Makes a folder that is deleted after the test. */
export function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'store-test-'))
  context.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const sqlite = JSON.stringify(join(import.meta.dirname, '../../src/store/sqlite/sqlite-store.ts'))

/** The arguments of Node for a script that imports `sqliteStore`. Arguments of the script may follow. */
export const script = (code: string): string[] => [
  '--conditions=convoke-source',
  '--input-type=module',
  '-e',
  `import { sqliteStore } from ${sqlite}\n${code}`,
]

export interface Opened {
  store: Store
  path: string
  folder: string
}

export function openStore(context: TestContext, options: SqliteStoreOptions = {}): Opened {
  const folder = folderFor(context)
  const path = join(folder, 'chat.db')
  const store = sqliteStore({ path, ...options })
  context.onTestFinished(() => store.close().catch(() => undefined))
  return { store, path, folder }
}

export const text = (said: string): [TextPart] => [{ type: 'text', text: said }]
export const user = (id: string, said = id): NewMessage => ({ id, role: 'user', content: text(said) })
export const idsOf = (messages: readonly StoredMessage[]) => messages.map(({ id }) => id)
export const textOf = ({ content }: StoredMessage) =>
  content.map((part) => (part.type === 'text' ? part.text : '')).join('')

/** Writes a whole turn: a question and its answer. */
export async function turn(
  store: Store,
  sessionId: string,
  name: string,
  answer = `answer ${name}`,
): Promise<void> {
  const messages = [user(`q-${name}`, `question ${name}`)]
  await store.beginTurn({ sessionId, replyId: `a-${name}`, messages, writer: store.writer })
  await store.endTurn(`a-${name}`, { status: 'complete', content: text(answer) })
}

/** Writes a turn with some deltas of its answer, and does not end it. */
export async function half(
  store: Store,
  sessionId: string,
  name: string,
  deltas: AssistantPart[][],
  writer: Writer = store.writer,
): Promise<void> {
  await store.beginTurn({ sessionId, replyId: `a-${name}`, messages: [user(`q-${name}`)], writer })
  for (const [number, parts] of deltas.entries()) await store.appendDelta(`a-${name}`, { number, parts })
}
