/** Four processes make 1,000 turns each in one file. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { sqliteStore } from '../../src/store/sqlite.ts'
import { folderFor } from '../store-kit.ts'
import { forkModule } from './fork-module.ts'

const processes = 4
const turns = 1_000

test('all turns of four processes are there, in order, and none of them met a lock', async (t) => {
  const path = join(folderFor(t), 'chat.db')
  const startedAt = performance.now()
  const children = Array.from({ length: processes }, (_, at) =>
    forkModule('store-turner.ts', [path, `p${at}`, String(turns)]),
  )
  for (const child of children) assert.deepEqual(await child.message(), { code: '' })
  const tookMs = performance.now() - startedAt
  const store = sqliteStore({ path })
  t.after(() => store.close())
  let count = 0
  for (const { id } of await store.list()) {
    const messages = await store.readMessages(id)
    assert.deepEqual(
      messages.map(({ turn, role, status }) => [turn, role, status]),
      messages.map((_, at) => [Math.floor(at / 2) + 1, at % 2 === 0 ? 'user' : 'assistant', 'complete']),
      id,
    )
    count += messages.length / 2
  }
  assert.equal(count, processes * turns)
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  t.diagnostic(
    `${count} turns by ${processes} processes: 0 lost, 0 locked, ${Math.round((count / tookMs) * 1_000)} turns/s`,
  )
})
