/** The file of a store: private, checked before it is touched, settled as its durability says, gone when temporary. */
import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { ConvokeError } from '../../src/errors.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { openDatabase } from '../../src/store/sqlite/thread/open-database.ts'
import { folderFor, half, idsOf, openStore, script, text, turn, user } from '../support/store-kit.ts'

const run = promisify(execFile)
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test('database, log, index and backups are private, whatever the umask', async (t) => {
  for (const umask of [0o000, 0o777]) {
    const folder = folderFor(t)
    const path = join(folder, 'chat.db')
    const code = `
      process.umask(${umask})
      const store = sqliteStore({ path: process.argv[1] })
      await store.open({ id: 's' })
      await store.backup(process.argv[1] + '.copy')
      const { readdirSync, statSync } = await import('node:fs')
      const folder = process.argv[1].replace('/chat.db', '')
      console.log(readdirSync(folder).map((name) => name + ' ' + (statSync(folder + '/' + name).mode & 0o777).toString(8)).sort().join())
      await store.close()`
    const { stdout } = await run(process.execPath, [...script(code), path], { timeout: 10_000 })
    assert.equal(stdout.trim(), 'chat.db 600,chat.db-shm 600,chat.db-wal 600,chat.db.copy 600', String(umask))
  }
})

test('an existing file keeps its mode, and so do its log and index', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await store.close()
  chmodSync(path, 0o640)
  const again = sqliteStore({ path })
  t.onTestFinished(() => again.close())
  await again.open({ id: 't' })
  assert.deepEqual([modeOf(path), modeOf(`${path}-wal`)], ['640', '640'])
})

/** Opening it is refused, with this code, by a message that names the path; every file is as it was. */
async function refuses(path: string, code: ConvokeError['code'], words: RegExp): Promise<void> {
  const before = existsSync(path) && statSync(path).isFile() ? readFileSync(path) : undefined
  const store = sqliteStore({ path })
  for (let time = 0; time < 2; time++)
    await assert.rejects(store.open({ id: 's' }), (error: ConvokeError) => {
      assert.equal(error.code, code, `${path}: ${error.message}`)
      assert.match(error.message, words)
      assert.ok(error.message.includes(path.split('\0')[0] as string), error.message)
      return true
    })
  await store.close().catch(() => undefined)
  if (before) assert.deepEqual(readFileSync(path), before)
}

test('a path that cannot be a store is refused with the remedy, and nothing is made or changed', async (t) => {
  const folder = folderFor(t)
  const file = (name: string, content: string | Buffer = '') => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  await refuses(join(folder, 'none', 'chat.db'), 'store_failed', /no folder .* Create it/)
  await refuses(folder, 'store_failed', /is a folder. Name a file/)
  await refuses(join(file('plain', 'x'), 'chat.db'), 'store_failed', /not a folder/)
  await refuses(join(folder, 'cut\0short'), 'store_failed', /NUL/)
  await refuses(join(folder, 'space '), 'store_failed', /space/)
  symlinkSync(join(folder, 'nowhere'), join(folder, 'link'))
  await refuses(join(folder, 'link'), 'store_failed', /link/)
  await refuses(
    file('text', 'Dear diary, this is a text file of more than a hundred bytes. '.repeat(40)),
    'store_corrupt',
    /not a SQLite/,
  )
  await refuses(file('short', 'hi'), 'store_corrupt', /not a SQLite/)
  file('cut-wal', 'x')
  renameSync(join(folder, 'cut-wal'), join(folder, 'cut.db-wal'))
  await refuses(file('cut.db'), 'store_corrupt', /file is empty/)
  const fifo = join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  await refuses(fifo, 'store_failed', /not a regular file/)
  assert.equal(existsSync(join(folder, 'cut')), false)
  assert.equal(existsSync(join(folder, 'space')), false)
  assert.equal(existsSync(join(folder, 'nowhere')), false)
})

test('the database of another program, and that of a newer version, are refused as they are', async (t) => {
  const folder = folderFor(t)
  const path = join(folder, 'other.db')
  const other = new SQLite(path)
  other.exec('CREATE TABLE things (a)')
  other.close()
  await refuses(path, 'store_failed', /another program/)
  const { store, path: newer } = openStore(t)
  await store.open({ id: 's' })
  await store.close()
  const database = new SQLite(newer)
  database.pragma('user_version = 999')
  database.close()
  await refuses(newer, 'store_failed', /schema 999.*Update convoke/)
  assert.deepEqual(readdirSync(folder), ['other.db'])
})

test('what is refused keeps its log, even where only that says whose it is', async (t) => {
  const { store, path, folder } = openStore(t)
  await store.open({ id: 's' })
  await store.close()
  const live = (from: string, sql: string) => {
    const database = new SQLite(from)
    database.pragma('journal_mode = WAL')
    database.pragma('wal_autocheckpoint = 0')
    database.exec(sql)
    const copy = `${from}.copy`
    for (const end of ['', '-wal']) copyFileSync(from + end, copy + end)
    database.close()
    return copy
  }
  const newer = live(path, 'PRAGMA user_version = 999; PRAGMA user_version = 998')
  const other = live(join(folder, 'other.db'), 'CREATE TABLE things (a); INSERT INTO things VALUES (1)')
  for (const [file, words] of [
    [newer, /schema 998.*Update convoke/],
    [other, /another program/],
  ] as const) {
    const log = readFileSync(`${file}-wal`)
    await refuses(file, 'store_failed', words)
    assert.deepEqual(readFileSync(`${file}-wal`), log)
    assert.equal(existsSync(`${file}-shm`), false)
  }
})

test('a file that was cut or damaged is store_corrupt, and never made anew', async (t) => {
  const { store, path, folder } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages(
    's',
    Array.from({ length: 600 }, (_, at) => user(`m${at}`, 'x'.repeat(500))),
  )
  await store.close()
  const cut = join(folder, 'cut.db')
  copyFileSync(path, cut)
  truncateSync(cut, 8192)
  await refuses(cut, 'store_corrupt', /damaged.*restore a backup/)
  const damaged = openSync(path, 'r+')
  const noise = Buffer.alloc(4096, 0x5a)
  for (let page = 4; page < 200; page++) writeSync(damaged, noise, 0, 4096, page * 4096)
  const again = sqliteStore({ path })
  t.onTestFinished(() => again.close().catch(() => undefined))
  await assert.rejects(again.readMessages('s'), { code: 'store_corrupt' })
  await assert.rejects(again.addMessages('s', [user('n')]), { code: 'store_corrupt' })
})

/** As somebody who may not. Root may everything, but for what is taken from it (setpriv is part of util-linux). */
function withoutPrivilege(code: string, path: string): string {
  const limits = '-dac_override,-dac_read_search'
  const limited = ['setpriv', '--bounding-set', limits, '--inh-caps', limits]
  const command = [...(process.getuid?.() === 0 ? limited : []), process.execPath, ...script(code), path]
  const [program = '', ...args] = command
  const { stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    cwd: import.meta.dirname,
    timeout: 10_000,
  })
  return stdout || stderr || String(error)
}

test('a folder or a file that may not be written is refused before anything is made', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'store-test-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o555)
  const code = `
    const store = sqliteStore({ path: process.argv[1] })
    await store.open({ id: 's' }).catch(({ code, message }) => console.log(code, message))
    await store.close().catch(() => {})`
  assert.match(withoutPrivilege(code, join(folder, 'chat.db')), /^store_failed .*folder .* is not writable/)
  assert.deepEqual(readdirSync(folder), [])
  chmodSync(folder, 0o777)
  const path = join(folder, 'ro.db')
  writeFileSync(path, '')
  chmodSync(path, 0o444)
  assert.match(withoutPrivilege(code, path), /^store_failed .*is not readable and writable/)
  assert.deepEqual(readdirSync(folder), ['ro.db'])
})

test('a file that another process keeps locked is store_locked, and written when it is free', async (t) => {
  const { store, path } = openStore(t, { busyTimeoutMs: 200 })
  await store.open({ id: 's' })
  const other = new SQLite(path)
  t.onTestFinished(() => void other.close())
  other.exec('BEGIN IMMEDIATE')
  await assert.rejects(store.addMessages('s', [user('m')]), { code: 'store_locked', isRetryable: true })
  assert.deepEqual(await store.readMessages('s'), [])
  other.exec('COMMIT')
  await store.addMessages('s', [user('m')])
  assert.deepEqual(idsOf(await store.readMessages('s')), ['m'])
})

test('a file that is deleted or moved while in use is told of, and not made anew', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  renameSync(path, `${path}.away`)
  await assert.rejects(store.addMessages('s', [user('m')]), { code: 'store_failed' })
  await assert.rejects(store.readMessages('s'), { code: 'store_failed' })
  assert.equal(existsSync(path), false)
  renameSync(`${path}.away`, path)
  await store.addMessages('s', [user('m')])
})

test('a file that is missing while its log is there is refused, and the log stays', async (t) => {
  const { store, path, folder } = openStore(t)
  await store.open({ id: 's' })
  const moved = join(folder, 'moved.db')
  for (const end of ['', '-wal']) copyFileSync(path + end, moved + end)
  await store.close()
  renameSync(moved, `${moved}.away`)
  const log = readFileSync(`${moved}-wal`)
  assert.ok(log.length > 0)
  await refuses(moved, 'store_corrupt', /moved.db-wal is there. Put the file back, or move the -wal away/)
  assert.deepEqual(readFileSync(`${moved}-wal`), log)
  assert.equal(existsSync(moved), false)
  renameSync(`${moved}.away`, moved)
  const again = sqliteStore({ path: moved })
  t.onTestFinished(() => again.close())
  assert.equal((await again.list()).length, 1)
})

test('the connection is set as the durability says: full syncs each commit, normal the check-points', (t) => {
  const { store, path } = openStore(t)
  for (const [durability, synchronous] of [
    ['full', 2],
    ['normal', 1],
  ] as const) {
    const database = openDatabase({
      path,
      durability,
      busyTimeoutMs: 10_000,
      wasOpened: false,
      lostThreads: [],
      writer: store.writer,
    })
    const read = (name: string) => database.pragma(name, { simple: true })
    const names = ['journal_mode', 'synchronous', 'foreign_keys', 'busy_timeout']
    assert.deepEqual(names.map(read), ['wal', synchronous, 1, 10_000])
    database.close()
  }
})

test('a temporary store is private, named by its process, and gone when it is closed or the process exits', async () => {
  const store = sqliteStore()
  assert.match(store.name, new RegExp(`convoke-${process.pid}-`))
  assert.equal(existsSync(store.name), false)
  await store.open({ id: 's' })
  assert.equal(modeOf(store.name), '600')
  await store.close()
  assert.deepEqual(
    readdirSync(tmpdir()).filter((name) => name.startsWith(`convoke-${process.pid}-`)),
    [],
  )
  const ends = { end: '', exit: 'process.exit(0)', throw: 'setTimeout(() => { throw new Error("x") })' }
  for (const [how, end] of Object.entries(ends)) {
    const code = `const store = sqliteStore(); await store.open({ id: 's' }); console.log(process.pid); ${end}`
    const { stdout } = spawnSync(process.execPath, script(code), { encoding: 'utf8', timeout: 8_000 })
    const left = readdirSync(tmpdir()).filter((name) => name.startsWith(`convoke-${stdout.trim()}-`))
    assert.deepEqual(left, [], how)
  }
})

test('a store that was never used makes no file, nor does closing it', async (t) => {
  const { store, path } = openStore(t)
  await store.close()
  await store.close()
  assert.equal(existsSync(path), false)
})

test('closing waits for what was written; after that every call is refused with the remedy', async (t) => {
  const { store, path } = openStore(t)
  const opened = store.open({ id: 's' })
  const added = store.addMessages('s', [user('m')])
  await store.close()
  await Promise.all([opened, added])
  const closed = { code: 'store_failed', message: /was closed. Open a new one/ }
  const { writer } = store
  const calls = [
    () => store.open({ id: 's' }),
    () => store.find('s'),
    () => store.list(),
    () => store.updateSession('s', {}),
    () => store.forkSession('s', { id: 'f' }),
    () => store.deleteSession('s'),
    () => store.clearSession('s'),
    () => store.readMessages('s'),
    () => store.addMessages('s', []),
    () => store.compact('s', { id: 'y', role: 'summary', content: [] }, 'm'),
    () => store.beginTurn({ sessionId: 's', replyId: 'r', messages: [], writer }),
    () => store.appendDelta('r', { number: 0, parts: [] }),
    () => store.endTurn('r', { status: 'complete', content: [] }),
    () => store.interruptTurn('r', 0),
    () => store.search('m'),
    () => store.backup(`${path}.copy`),
    () => store.vacuum(),
    () => store.check(),
  ]
  for (const call of calls) await assert.rejects(call, closed, String(call))
  assert.equal(existsSync(`${path}.copy`), false)
  assert.equal(existsSync(`${path}-wal`), false)
})

test('a process that forgets its stores exits all the same, with all that it wrote', async (t) => {
  const path = join(folderFor(t), 'chat.db')
  const code = `
    const store = sqliteStore({ path: process.argv[1] })
    await store.open({ id: 's' })
    for (let at = 0; at < 200; at++) void store.open({ id: 's' + at })`
  await run(process.execPath, [...script(code), path], { timeout: 8_000 })
  const store = sqliteStore({ path })
  t.onTestFinished(() => store.close())
  assert.equal((await store.list()).length, 201)
})

test('vacuum gives the space of what was deleted back', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages(
    's',
    Array.from({ length: 1_000 }, (_, at) => user(`m${at}`, 'x'.repeat(1_000))),
  )
  await store.vacuum()
  const full = statSync(path).size
  await store.deleteSession('s')
  await store.vacuum()
  assert.ok(statSync(path).size < full / 4, `${statSync(path).size} of ${full}`)
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a check names what is wrong', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  await half(store, 's', '2', [text('x')])
  await store.search('question')
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
  const database = new SQLite(path)
  database.pragma('foreign_keys = OFF')
  database.exec(
    `UPDATE messages SET parent = 999 WHERE id = 'a-1'; UPDATE messages SET text = 'other' WHERE id = 'q-1'`,
  )
  database.close()
  const { isOk, problems } = await store.check()
  assert.equal(isOk, false)
  assert.deepEqual(
    [problems.length, /messages/.test(problems[0] ?? ''), /index/.test(problems[1] ?? '')],
    [2, true, true],
  )
})
