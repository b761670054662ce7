/** Four processes make 1,000 turns each in the same file. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'vitest'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { folderFor } from '../support/store-kit.ts'
import { forkModule } from './fork-module.ts'

const processes = 4
const turns = 1_000

test('all turns of four processes are there, in order, and none of them met a lock', async (t) => {
  const path = join(folderFor(t), 'chat.db')
  const startedAt = performance.now()
  const children = Array.from({ length: processes }, (_, at) =>
    forkModule('store-turner.ts', [path, `p${at}`, String(turns)]),
  )
  const turnMs: number[] = []
  let mostLateMs = 0
  for (const child of children) {
    const { code, tookMs, lateMs } = await child.message<{ code: string; tookMs: number[]; lateMs: number }>()
    assert.equal(code, '')
    turnMs.push(...tookMs)
    mostLateMs = Math.max(mostLateMs, lateMs)
  }
  const p99Ms = turnMs.sort((a, b) => a - b)[Math.floor(turnMs.length * 0.99)] ?? Infinity
  const tookMs = performance.now() - startedAt
  const store = sqliteStore({ path })
  t.onTestFinished(() => store.close())
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
  // A turn goes through two commits, and each of them to a thread and back.
  const allowedMs = 250 + 4 * mostLateMs
  assert.ok(p99Ms < allowedMs, `p99 ${p99Ms} ms, on a machine that was late by ${mostLateMs} ms`)
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  await t.annotate(
    `${count} turns by ${processes} processes: 0 lost, 0 locked, ${Math.round((count / tookMs) * 1_000)} turns/s, p99 of a turn ${p99Ms.toFixed(0)} ms on a machine that was late by ${mostLateMs.toFixed(0)} ms`,
  )
})
