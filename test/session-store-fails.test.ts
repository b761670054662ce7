/** Replies whose store fails for a while as they come: what is in memory reaches the disk all the same. */
import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import { test } from 'node:test'
import { createSession, sqliteStore } from 'convoke'
import type { Session, Store } from 'convoke'
import { codeOf, connect, path, simulator } from './session-kit.ts'

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
