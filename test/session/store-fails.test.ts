/** Replies whose store fails for a while as they come: what is in memory reaches the disk all the same. */
import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import SQLite from 'better-sqlite3'
import { ConvokeError, createSession, sqliteStore } from 'convoke'
import type { Session, StoredMessage, StreamChunk, TextPart } from 'convoke'
import type { Store } from 'convoke/store'
import { test } from 'vitest'
import type { TestContext } from 'vitest'
import { Recorder } from '../../src/session/recorder.ts'
import { codeOf, connect, path, simulator } from '../support/session-kit.ts'
import { textOf } from '../support/store-kit.ts'

/** A turn whose end finds its file moved away; it is back when this is over. */
async function unwritten(session: Session, file: string): Promise<void> {
  simulator.setReply({ text: 'A reply of some length.', paceMs: 20 })
  const stream = session.stream('Hi')
  let isAway = false
  for await (const { content } of stream) {
    if (!isAway && content) renameSync(file, `${file}.away`)
    isAway ||= Boolean(content)
  }
  assert.equal((await stream.response).persisted, false)
  renameSync(`${file}.away`, file)
}

const kept = async (store: Store, id: string) =>
  (await store.readMessages(id)).map(({ status, content }) => `${status} ${JSON.stringify(content)}`)
const whole = /^complete .*A reply of some length\./

test('an end that could not be written is tried again as the session or its store is closed', async () => {
  for (const closes of ['session', 'own store', 'store'] as const) {
    const file = path()
    const store = sqliteStore({ path: file })
    const session = createSession(connect(), { store: closes === 'own store' ? file : store, id: 's' })
    await unwritten(session, file)
    if (closes === 'store') await store.close()
    else await session.close()
    // Before its own store is closed: that would write it, too.
    if (closes === 'session') assert.match((await kept(store, 's'))[1] ?? '', whole)
    await using again = sqliteStore({ path: file })
    assert.match((await kept(again, 's'))[1] ?? '', whole, closes)
    await store.close()
  }
})

test('the next turn writes an end that was left, also where others took its reply for interrupted', async () => {
  const file = path()
  await using store = sqliteStore({ path: file })
  await using session = createSession(connect(), { store, id: 's' })
  await using other = sqliteStore({ path: file })
  for (const isInterrupted of [false, true]) {
    await unwritten(session, file)
    const turn = { sessionId: 's', replyId: 'r', messages: [], writer: other.writer }
    const busy = await other.beginTurn(turn)
    assert.ok(busy.kind === 'busy')
    if (isInterrupted) await other.interruptTurn(busy.replyId, busy.beat)
    simulator.setReply('ok')
    assert.ok((await session.agenerate('And now?')).persisted)
    assert.match((await kept(store, 's')).at(-3) ?? '', whole)
  }
})

test("an end that fails again, or whose session is gone, is in nobody's way", async () => {
  const file = path()
  const store = sqliteStore({ path: file })
  const session = createSession(connect(), { store, id: 's' })
  await unwritten(session, file)
  renameSync(file, `${file}.away`)
  assert.equal(await codeOf(session.agenerate('And now?')), 'store_failed')
  await session.close()
  renameSync(`${file}.away`, file)
  await store.deleteSession('s')
  await using again = createSession(connect(), { store, id: 's' })
  simulator.setReply('ok')
  assert.ok((await again.agenerate('Anew')).persisted)
  assert.equal((await again.history()).length, 2)
  await store.close()
})

/** A reply that is begun, and what its file has of it. */
async function recorded(t: TestContext, file: string) {
  const store = sqliteStore({ path: file })
  await store.open({ id: 's' })
  await store.beginTurn({ sessionId: 's', replyId: 'r', messages: [], writer: store.writer })
  const database = new SQLite(file, { readonly: true })
  const deltas = database.prepare('SELECT parts FROM deltas ORDER BY number').pluck()
  t.onTestFinished(async () => {
    database.close()
    await store.close()
  })
  const texts = () => (deltas.all() as string[]).flatMap((parts) => JSON.parse(parts) as TextPart[])
  return {
    store,
    text: () =>
      texts()
        .map(({ text }) => text)
        .join(''),
  }
}

const piece = (content: string): StreamChunk => ({ type: 'text', content })
const stuck = { timeout: 30_000 }

test('a store that fails for a while gets what it missed, in order and once', stuck, async (t) => {
  const file = path()
  const { store, text } = await recorded(t, file)
  const recorder = new Recorder(store, 'r', () => 'p')
  const writes: Promise<void>[] = []
  const { appendDelta } = store
  store.appendDelta = (...delta) => {
    const written = appendDelta.apply(store, delta)
    writes.push(written)
    return written
  }
  recorder.add(piece('one '))
  while (text() !== 'one ') await pause(10)
  renameSync(file, `${file}.away`)
  for (const said of ['two ', 'three ']) {
    const before = writes.length
    recorder.add(piece(said))
    while (writes.length === before) await pause(10)
    assert.equal(await codeOf(writes.at(-1) as Promise<void>), 'store_failed')
  }
  renameSync(`${file}.away`, file)
  recorder.add(piece('four'))
  while (text() !== 'one two three four') await pause(10)
  await recorder.end()
  assert.equal(textOf((await store.readMessages('s'))[0] as StoredMessage), 'one two three four')
})

test('what was void by the time that the store takes it again is not written', stuck, async (t) => {
  const file = path()
  const { store, text } = await recorded(t, file)
  const recorder = new Recorder(store, 'r', () => 'p')
  recorder.add(piece('one '))
  while (text() !== 'one ') await pause(10)
  renameSync(file, `${file}.away`)
  recorder.add(piece('two '))
  await pause(500)
  recorder.add({ type: 'reset', content: '', attempt: 1, error: new ConvokeError('timeout', 'Late.') })
  recorder.add(piece('anew'))
  await pause(500)
  renameSync(`${file}.away`, file)
  while (text() !== 'anew') await pause(10)
  await recorder.end()
})

test('a reply whose session is gone is recorded no more', stuck, async (t) => {
  const { store } = await recorded(t, path())
  const recorder = new Recorder(store, 'r', () => 'p')
  let writes = 0
  const { appendDelta } = store
  store.appendDelta = (...delta) => {
    writes++
    return appendDelta.apply(store, delta)
  }
  await store.deleteSession('s')
  recorder.add(piece('one '))
  while (writes === 0) await pause(10)
  for (let time = 0; time < 4; time++) {
    await pause(250)
    recorder.add(piece('more '))
  }
  assert.equal(writes, 1)
  await recorder.end()
})
