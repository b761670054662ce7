/** Backups: whole, private, and done in the end, whoever writes meanwhile. */
import assert from 'node:assert/strict'
import { readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { openStore, user } from '../support/store-kit.ts'

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test('a backup is whole while the store is written, and refuses a file that is there', async (t) => {
  const { store, folder } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages(
    's',
    Array.from({ length: 5_000 }, (_, at) => user(`m${at}`, 'x'.repeat(1_000))),
  )
  const copy = join(folder, 'copy.db')
  const backup = store.backup(copy)
  let isDone = false
  let during = 0
  void backup.finally(() => (isDone = true))
  while (!isDone) await store.addMessages('s', [user(`n${during++}`)])
  await backup
  assert.ok(during > 1, String(during))
  assert.equal(modeOf(copy), '600')
  const copied = sqliteStore({ path: copy })
  t.onTestFinished(() => copied.close())
  assert.ok((await copied.readMessages('s')).length >= 5_000)
  assert.deepEqual(await copied.check(), { isOk: true, problems: [] })
  const before = readFileSync(copy)
  await assert.rejects(store.backup(copy), { code: 'store_failed', message: /exists already/ })
  assert.deepEqual(readFileSync(copy), before)
  await assert.rejects(store.backup(join(folder, 'none', 'copy.db')), {
    code: 'store_failed',
    message: /no folder/,
  })
  await assert.rejects(store.backup(join(folder, 'a\0b')), { code: 'store_failed', message: /NUL/ })
})

test('a backup ends while another process writes all the time', { timeout: 20_000 }, async (t) => {
  const { store, path, folder } = openStore(t, { durability: 'normal' })
  await store.open({ id: 's' })
  for (let at = 0; at < 40; at++) await store.addMessages('s', [user(`m${at}`, 'x'.repeat(1_000_000))])
  const other = new SQLite(path)
  t.onTestFinished(() => void other.close())
  const touch = other.prepare('UPDATE sessions SET updated_at = updated_at + 1')
  const writing = setInterval(() => touch.run(), 2)
  t.onTestFinished(() => {
    clearInterval(writing)
  })
  const copy = join(folder, 'copy.db')
  await store.backup(copy)
  clearInterval(writing)
  const copied = sqliteStore({ path: copy })
  t.onTestFinished(() => copied.close())
  assert.equal((await copied.readMessages('s')).length, 40)
})

test('a backup that failed says nothing of the next one to the same path', async (t) => {
  const { store, path, folder } = openStore(t)
  await store.open({ id: 's' })
  let failed = 0
  for (let time = 0; time < 20 && failed < 3; time++) {
    const copy = join(folder, `copy-${time}.db`)
    const first = store.backup(copy)
    // It is copied, and is about to be asked whether it is.
    while ((statSync(copy, { throwIfNoEntry: false })?.size ?? 0) === 0) await setTimeout(1)
    renameSync(path, `${path}.away`)
    const [{ status }] = await Promise.allSettled([first])
    renameSync(`${path}.away`, path)
    if (status === 'fulfilled') continue
    failed++
    await store.backup(copy)
    assert.ok(statSync(copy).size > 0)
  }
  assert.ok(failed > 0)
})
