/** Turns in a store: one at a time, whoever writes it, and none lost with its writer. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { AssistantPart } from '../../src/types.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import type { Store, Writer } from '../../src/store/store.ts'
import { half, idsOf, openStore, text, textOf, turn, user } from '../support/store-kit.ts'

/** A process of this host that is gone. */
function deadWriter({ writer }: Store): Writer {
  const pid = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }))
  return { id: 'gone', pid, host: writer.host, started: '' }
}

const begin = (store: Store, name: string, more: object = {}) =>
  store.beginTurn({
    sessionId: 's',
    replyId: `a-${name}`,
    messages: [user(`q-${name}`)],
    writer: store.writer,
    ...more,
  })

test('a turn is on disk before its reply, is read as it grows, and is the head when it has ended', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  assert.deepEqual(await begin(store, '2'), { kind: 'begun', turn: 2 })
  const database = new SQLite(path, { readonly: true })
  t.onTestFinished(() => void database.close())
  const rows = database.prepare(`SELECT id, status FROM transcript WHERE turn = 2`).raw()
  assert.deepEqual(rows.all(), [
    ['q-2', 'complete'],
    ['a-2', 'streaming'],
  ])
  await store.appendDelta('a-2', { number: 0, parts: text('par') })
  const running = await store.readMessages('s')
  assert.deepEqual(idsOf(running), ['q-1', 'a-1', 'q-2', 'a-2'])
  assert.deepEqual(running.at(-1)?.content, text('par'))
  assert.deepEqual(idsOf(await store.readMessages('s', { before: 'q-2', limit: 1 })), ['a-1'])
  assert.equal((await store.find('s'))?.headId, 'a-1')
  await store.endTurn('a-2', {
    status: 'failed',
    content: text('partial'),
    error: { code: 'timeout', message: 'm' },
  })
  const last = (await store.readMessages('s')).at(-1)
  assert.deepEqual([last?.id, last?.status, last && textOf(last)], ['a-2', 'failed', 'partial'])
  assert.equal(database.prepare('SELECT count(*) FROM deltas').pluck().get(), 0)
  assert.equal(database.prepare('SELECT count(*) FROM running').pluck().get(), 0)
})

test('a second turn finds the session busy, and sees the beat of the first', async (t) => {
  const { store, path } = openStore(t)
  const other = sqliteStore({ path })
  t.onTestFinished(() => other.close())
  await store.open({ id: 's' })
  await begin(store, '1', { operationId: 'op' })
  const busy = { kind: 'busy', replyId: 'a-1', operationId: 'op', writer: store.writer, beat: 0 }
  assert.deepEqual(await begin(other, '2'), busy)
  assert.deepEqual(await begin(store, '2'), busy)
  await store.appendDelta('a-1', { number: 0, parts: text('x') })
  await store.appendDelta('a-1', { number: 1, parts: [] })
  assert.deepEqual(await begin(other, '2'), { ...busy, beat: 2 })
  assert.equal((await other.search('x')).length, 0)
  await store.endTurn('a-1', { status: 'complete', content: text('x') })
  assert.deepEqual(await begin(other, '2'), { kind: 'begun', turn: 2 })
})

test('of turns that begin at once in several stores one is begun', async (t) => {
  const { store, path } = openStore(t)
  const others = [1, 2, 3].map(() => sqliteStore({ path }))
  t.onTestFinished(async () => void (await Promise.all(others.map((other) => other.close()))))
  await store.open({ id: 's' })
  const answers = await Promise.all([store, ...others].map((one, at) => begin(one, String(at))))
  assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['begun', 'busy', 'busy', 'busy'])
})

test('an operation that was done gives its reply; one that failed may be tried again', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.open({ id: 'other' })
  await begin(store, '1', { operationId: 'op' })
  await store.endTurn('a-1', { status: 'failed', content: [] })
  assert.equal((await begin(store, '2', { operationId: 'op' })).kind, 'begun')
  await store.endTurn('a-2', { status: 'complete', content: text('done') })
  const answer = await begin(store, '3', { operationId: 'op' })
  assert.ok(answer.kind === 'done' && answer.reply.id === 'a-2' && textOf(answer.reply) === 'done')
  assert.equal((await begin(store, '4', { operationId: 'op', sessionId: 'other' })).kind, 'begun')
})

const deltas: AssistantPart[][] = [
  [
    { type: 'reasoning', text: 'Let me ' },
    { type: 'reasoning', text: 'see', signature: 'sig' },
  ],
  [
    { type: 'reasoning', text: 'more' },
    { type: 'text', text: 'Hel' },
  ],
  [],
  [
    { type: 'text', text: 'lo ' },
    { type: 'text', text: 'you', signature: 's2' },
    { type: 'text', text: '!' },
  ],
  [
    { type: 'tool-call', id: 'c', name: 'n', arguments: {} },
    { type: 'text', text: 'end' },
  ],
]
const folded = [
  { type: 'reasoning', text: 'Let me see', signature: 'sig' },
  { type: 'reasoning', text: 'more' },
  { type: 'text', text: 'Hello you', signature: 's2' },
  { type: 'text', text: '!' },
  { type: 'tool-call', id: 'c', name: 'n', arguments: {} },
  { type: 'text', text: 'end' },
]

test('a turn of a process that died is interrupted by the next one, with all that had arrived', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await half(store, 's', '1', deltas, deadWriter(store))
  assert.deepEqual(await begin(store, '2'), { kind: 'begun', turn: 2 })
  const [question, reply] = await store.readMessages('s')
  assert.deepEqual([question?.id, reply?.id, reply?.status], ['q-1', 'a-1', 'interrupted'])
  assert.deepEqual(reply?.content, folded)
})

test('a store that is opened marks the turns of the dead; those of the living and of other hosts stay', async (t) => {
  const { store, path } = openStore(t)
  for (const id of ['s', 'alive', 'far']) await store.open({ id })
  const dead = deadWriter(store)
  await half(store, 's', '1', [text('kept')], dead)
  await half(store, 'alive', '2', [text('x')], { ...dead, pid: 1 })
  await half(store, 'far', '3', [text('x')], { ...dead, host: 'elsewhere' })
  const other = sqliteStore({ path })
  t.onTestFinished(() => other.close())
  const reply = (await other.readMessages('s')).at(-1)
  assert.deepEqual([reply?.status, reply && textOf(reply)], ['interrupted', 'kept'])
  assert.equal((await other.readMessages('alive')).at(-1)?.status, 'streaming')
  assert.equal((await other.readMessages('far')).at(-1)?.status, 'streaming')
  for (const sessionId of ['alive', 'far'])
    assert.equal((await begin(other, sessionId, { sessionId })).kind, 'busy')
})

test('a turn is interrupted from elsewhere only if its beat stands still', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await half(store, 's', '1', [text('a')], { id: 'x', pid: 1, host: 'elsewhere', started: '' })
  await store.interruptTurn('a-1', 0)
  assert.equal((await begin(store, '2')).kind, 'busy')
  await store.appendDelta('a-1', { number: 1, parts: [] })
  await store.interruptTurn('a-1', 2)
  await store.interruptTurn('a-1', 2)
  const reply = (await store.readMessages('s')).at(-1)
  assert.deepEqual([reply?.status, reply && textOf(reply)], ['interrupted', 'a'])
})

test('a writer that was taken for dead still brings its reply home', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await half(store, 's', '1', [text('a')])
  await store.interruptTurn('a-1', 1)
  assert.equal((await store.search('a')).length, 1)
  await assert.rejects(store.appendDelta('a-1', { number: 1, parts: text('b') }), { code: 'store_failed' })
  await turn(store, 's', '2')
  await store.endTurn('a-1', { status: 'complete', content: text('a whole reply') })
  const messages = await store.readMessages('s')
  assert.deepEqual(idsOf(messages), ['q-1', 'a-1', 'q-2', 'a-2'])
  assert.deepEqual([messages[1]?.status, messages[1] && textOf(messages[1])], ['complete', 'a whole reply'])
  assert.equal((await store.search('whole')).length, 1)
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a repeated turn stands beside the interrupted one and takes its place', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  await half(store, 's', '2', [text('half')])
  await store.interruptTurn('a-2', 1)
  const answer = await begin(store, '3', { messages: [], repeats: 'a-2' })
  assert.deepEqual(answer, { kind: 'begun', turn: 2 })
  await store.endTurn('a-3', { status: 'complete', content: text('again') })
  const messages = await store.readMessages('s')
  assert.deepEqual(idsOf(messages), ['q-1', 'a-1', 'q-2', 'a-3'])
  assert.equal(messages[3]?.turn, 2)
  for (const repeats of ['nothing', 'a-2', 'a-3', 'q-2'])
    assert.deepEqual(await begin(store, '4', { messages: [], repeats }), { kind: 'stale' })
})

test('a process that got the id of a dead one is not taken for it', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  const { host, pid } = store.writer
  await half(store, 's', '1', [text('so far')], { id: 'gone', pid, host, started: 'long ago' })
  const other = sqliteStore({ path })
  t.onTestFinished(() => other.close())
  const [reply] = await other.readMessages('s', { limit: 1 })
  assert.deepEqual([reply?.status, reply?.content], ['interrupted', text('so far')])
})

test('a writer that dies while others have the store open is found when its session is read', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  const child = spawnSync(process.execPath, ['-e', 'console.log(process.pid)'])
  const pid = Number(child.stdout.toString())
  await half(store, 's', '1', [text('so far')], { id: 'gone', pid, host: store.writer.host, started: '' })
  assert.equal((await store.readMessages('s')).at(-1)?.status, 'interrupted')
})

test('messages that are added while a turn runs stay on the branch, before it', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  await begin(store, '2', { messages: [user('q-2'), user('q-2b')] })
  await store.addMessages('s', [user('added')])
  await store.addMessages('s', [user('more')])
  await store.endTurn('a-2', { status: 'complete', content: text('x') })
  const messages = await store.readMessages('s')
  assert.deepEqual(idsOf(messages), ['q-1', 'a-1', 'added', 'more', 'q-2', 'q-2b', 'a-2'])
  assert.deepEqual(
    messages.map((message) => message.turn),
    [1, 1, 2, 3, 4, 4, 4],
  )
})

test('messages that are added while a turn is repeated stay on the branch', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await begin(store, '1')
  await store.endTurn('a-1', { status: 'failed', content: text('half') })
  await begin(store, '2', { messages: [], repeats: 'a-1' })
  await store.addMessages('s', [user('added')])
  await store.addMessages('s', [user('more')])
  await store.endTurn('a-2', { status: 'complete', content: text('whole') })
  const messages = await store.readMessages('s')
  assert.deepEqual(idsOf(messages), ['q-1', 'added', 'more', 'a-2'])
  assert.deepEqual(
    messages.map((message) => message.turn),
    [1, 2, 3, 4],
  )
})

test('a session that is cleared or deleted under a running turn', async (t) => {
  const { store } = openStore(t)
  for (const id of ['s', 'd']) await store.open({ id })
  await turn(store, 's', '1')
  await begin(store, '2')
  await store.clearSession('s')
  await store.endTurn('a-2', { status: 'complete', content: text('x') })
  assert.deepEqual(idsOf(await store.readMessages('s')), ['q-2', 'a-2'])
  await begin(store, '3', { sessionId: 'd' })
  await store.deleteSession('d')
  await assert.rejects(store.appendDelta('a-3', { number: 0, parts: text('x') }), {
    code: 'session_not_found',
  })
  await assert.rejects(store.endTurn('a-3', { status: 'complete', content: [] }), {
    code: 'session_not_found',
  })
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a store that is closed in the middle of a turn leaves it interrupted', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await half(store, 's', '1', [text('so far')])
  await store.close()
  const other = sqliteStore({ path })
  t.onTestFinished(() => other.close())
  const reply = (await other.readMessages('s')).at(-1)
  assert.deepEqual([reply?.status, reply && textOf(reply)], ['interrupted', 'so far'])
})
