/** A file that several threads or processes open in the same moment, also where it has to be made: all of them have it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import fs, {
  existsSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import SQLite from 'better-sqlite3'
import type { Database, PragmaOptions } from 'better-sqlite3'
import { test, vi } from 'vitest'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { fileHeader } from '../../src/store/sqlite/thread/file-header.ts'
import { openDatabase } from '../../src/store/sqlite/thread/open-database.ts'
import { folderFor, script } from '../support/store-kit.ts'

const run = promisify(execFile)

test('a folder in use by several processes is opened by all of them at once', async (t) => {
  const folder = folderFor(t)
  mkdirSync(join(folder, 'in'))
  const path = join(folder, 'in', 'chat.db')
  const code = `const store = sqliteStore({ path: process.argv[1] }); await store.open({ id: String(process.pid) }); await store.close()`
  await Promise.all(
    [1, 2, 3, 4].map(() => run(process.execPath, [...script(code), path], { timeout: 20_000 })),
  )
  const store = sqliteStore({ path })
  t.onTestFinished(() => store.close())
  assert.equal((await store.list()).length, 4)
})

test('two threads that open a new file in the same instant both have it', async (t) => {
  const rounds = 200
  const code = `
    const { ready, folder, module, rounds } = require('node:worker_threads').workerData
    import(module).then(({ openDatabase }) => {
      for (let round = 0; round < rounds; round++) {
        Atomics.add(ready, round, 1)
        while (Atomics.load(ready, round) < 2);
        const path = folder + '/' + round + '.db'
        openDatabase({ path, durability: 'normal', busyTimeoutMs: 5_000, wasOpened: false }).close()
      }
    })`
  const ready = new Int32Array(new SharedArrayBuffer(4 * rounds))
  const workerData = {
    ready,
    rounds,
    folder: folderFor(t),
    module: import.meta.resolve('../../src/store/sqlite/thread/open-database.ts'),
  }
  const threads = [1, 2].map(() => new Worker(code, { eval: true, workerData }))
  t.onTestFinished(async () => void (await Promise.all(threads.map((thread) => thread.terminate()))))
  await Promise.all(threads.map((thread) => once(thread, 'exit')))
})

test('a second store of a process leaves the locks of the first: nobody takes its log away', async (t) => {
  const path = join(folderFor(t), 'chat.db')
  const [first, second] = [sqliteStore({ path }), sqliteStore({ path })]
  t.onTestFinished(async () => void (await Promise.all([first.close(), second.close()])))
  await first.open({ id: 'first' })
  await second.open({ id: 'second' })
  // What the last connection to a file does as it closes, older SQLites without a further look.
  const code = `const SQLite = (await import(process.argv[1])).default, other = new SQLite(process.argv[2])
    other.pragma('locking_mode = EXCLUSIVE'); let got = 'the file'
    try { other.exec('BEGIN EXCLUSIVE') } catch (error) { got = error.code }
    console.log(got); process.exit()`
  const library = import.meta.resolve('better-sqlite3')
  const { stdout } = await run(process.execPath, [...script(code), library, path], { timeout: 20_000 })
  assert.equal(stdout.trim(), 'SQLITE_BUSY')
})

test('a log that is begun anew while its header is read is not taken for that of another program', async (t) => {
  const path = join(folderFor(t), 'chat.db')
  const store = sqliteStore({ path })
  t.onTestFinished(() => store.close())
  await store.open({ id: 'one' })
  const page = readFileSync(path).subarray(0, 108)
  const log = readFileSync(`${path}-wal`)
  const pageBytes = log.readUInt32BE(8)
  // Between a look at the head of a frame and one at its page another process put another page there.
  for (let at = 32; at < log.length; at += 24 + pageBytes)
    if (log.readUInt32BE(at) === 1) log.fill(0x0f, at + 24, at + 24 + pageBytes)
  writeFileSync(`${path}.log`, log)
  assert.deepEqual(fileHeader(page, `${path}.log`), { owner: 0, version: 0, isEmpty: true })
})

test('nothing but SQLite closes a file of a store, which would take the locks of other threads from it', (t) => {
  const folder = folderFor(t)
  const path = join(folder, 'chat.db')
  const { closeSync } = fs
  let closed = 0
  fs.closeSync = (file) => {
    if (existsSync(path) && fstatSync(file).ino === statSync(path).ino) closed++
    closeSync(file)
  }
  syncBuiltinESMExports()
  t.onTestFinished(() => {
    fs.closeSync = closeSync
    syncBuiltinESMExports()
  })
  const file = { path, durability: 'normal', busyTimeoutMs: 5_000, wasOpened: false } as const
  const writer = { id: '', pid: 0, host: '', started: '' }
  for (let time = 0; time < 2; time++) openDatabase({ ...file, writer, lostThreads: [] }).close()
  assert.equal(closed, 0)
  assert.deepEqual(readdirSync(folder), ['chat.db'])
})

test('a file that a newer version makes while it is opened keeps its schema', (t) => {
  const path = join(folderFor(t), 'chat.db')
  const newer = new SQLite(path)
  t.onTestFinished(() => void newer.close())
  // Between the first look and the lock, which is asked for in WAL mode.
  const { pragma } = SQLite.prototype
  vi.spyOn(SQLite.prototype, 'pragma').mockImplementation(function (
    this: Database,
    sql: string,
    options?: PragmaOptions,
  ) {
    if (sql === 'journal_mode = WAL')
      newer.exec('PRAGMA application_id = 0x636f6e76; PRAGMA user_version = 9')
    return pragma.call(this, sql, options)
  })
  const file = { path, durability: 'normal', busyTimeoutMs: 5_000, wasOpened: false } as const
  const writer = { id: '', pid: 0, host: '', started: '' }
  assert.throws(() => openDatabase({ ...file, writer, lostThreads: [] }), { code: 'store_failed' })
  assert.equal(newer.pragma('user_version', { simple: true }), 9)
})
