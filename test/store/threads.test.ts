/** A store whose thread dies: nothing that was acknowledged is lost, and what was in flight lands once. */
import { test } from 'vitest'
import '../faults/killable-workers.ts'
import assert from 'node:assert/strict'
import { existsSync, rmSync } from 'node:fs'
import { deaths, killLatest, ways, writeUnderKill } from '../faults/killable-workers.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { half, idsOf, openStore, text } from '../support/store-kit.ts'

for (const way of ways)
  test(`a thread that dies under a hundred writes: ${way}`, async (t) => {
    const { store } = openStore(t)
    await store.open({ id: 's' })
    const before = deaths
    const ids = await writeUnderKill(store, 's', way)
    assert.equal(deaths, before + 1)
    assert.deepEqual(idsOf(await store.readMessages('s')), ids)
    assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  })

test('a turn goes on when its thread dies: its writer lives', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.open({ id: 't' })
  await half(store, 's', '1', [text('a')])
  await writeUnderKill(store, 't', 'terminated from outside')
  await store.appendDelta('a-1', { number: 1, parts: text('b') })
  await store.endTurn('a-1', { status: 'complete', content: text('ab') })
  assert.deepEqual(
    (await store.readMessages('s')).map(({ status }) => status),
    ['complete', 'complete'],
  )
})

test('a file that went while its thread was dead is not made anew', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await killLatest()
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
  for (let time = 0; time < 2; time++)
    await assert.rejects(store.open({ id: 't' }), { code: 'store_failed', message: /moved or deleted/ })
  await store.close()
  assert.equal(existsSync(path), false)
})

test('closing a store whose thread died marks the turns that it leaves', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await half(store, 's', '1', [text('so far')])
  await killLatest()
  await store.close()
  const other = sqliteStore({ path })
  t.onTestFinished(() => other.close())
  const reply = (await other.readMessages('s')).at(-1)
  assert.deepEqual([reply?.status, reply?.content], ['interrupted', text('so far')])
})

test('closing a store whose thread died makes no file anew', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await killLatest()
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
  await store.close()
  assert.equal(existsSync(path), false)
})
