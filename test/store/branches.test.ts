/** Forks at a summary, and what is left in the file of sessions that were cleared and deleted. */
import assert from 'node:assert/strict'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { TestContext } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { idsOf, openStore, text, turn, user } from '../support/store-kit.ts'

const summary = (id: string) => ({ id, role: 'summary' as const, content: text(`sum ${id}`) })

/** `left` gives the ids of the messages in the file. */
function openWatched(t: TestContext) {
  const { store, path } = openStore(t)
  const left = () => {
    const database = new SQLite(path, { readonly: true })
    const ids = database.prepare('SELECT id FROM messages ORDER BY sequence').pluck().all()
    database.close()
    return ids
  }
  return { store, left }
}

async function fail(store: Store, sessionId: string, replyId: string, repeats?: string): Promise<void> {
  const { writer } = store
  const more = repeats === undefined ? {} : { repeats }
  await store.beginTurn({ sessionId, replyId, messages: [], writer, ...more })
  await store.endTurn(replyId, { status: 'failed', content: [] })
}

test('a fork at a summary begins with it, and keeps it when its origin has another or is gone', async (t) => {
  const { store, left } = openWatched(t)
  await store.open({ id: 's' })
  for (const name of ['1', '2']) await turn(store, 's', name)
  await store.compact('s', summary('y1'), 'a-1')
  const fork = await store.forkSession('s', { id: 'f' }, 'y1')
  assert.deepEqual([fork.headId, fork.forkedFrom, fork.summaryId], ['y1', 's', 'y1'])
  await store.compact('s', summary('y2'), 'a-2')
  await assert.rejects(store.forkSession('s', { id: 'g' }, 'y1'), { code: 'store_failed' })
  await turn(store, 'f', '3')
  for (const isWhole of [true, false])
    assert.deepEqual(idsOf(await store.readMessages('f', { includeCompacted: isWhole })), [
      'y1',
      'q-3',
      'a-3',
    ])
  assert.equal((await store.search('sum', { sessionId: 'f' })).length, 1)
  await store.compact('f', summary('y3'), 'a-3')
  assert.deepEqual(idsOf(await store.readMessages('f')), ['y3'])
  await store.deleteSession('s')
  assert.deepEqual(idsOf(await store.readMessages('f', { includeCompacted: true })), ['y1', 'q-3', 'a-3'])
  await store.deleteSession('f')
  assert.deepEqual(left(), [])
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a summary goes with the last session that has it', async (t) => {
  const { store, left } = openWatched(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  for (const [name, at] of [
    ['with', undefined],
    ['at', 'y1'],
  ] as const) {
    await store.compact('s', summary('y1'), 'a-1')
    await store.forkSession('s', { id: name }, at)
    await store.compact('s', summary('y2'), 'a-1')
    assert.deepEqual(left(), ['q-1', 'a-1', 'y1', 'y2'], name)
    await store.deleteSession(name)
    assert.deepEqual(left(), ['q-1', 'a-1', 'y2'], name)
  }
})

test('a reply that was repeated stays as long as its session', async (t) => {
  const { store, left } = openWatched(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  await store.forkSession('s', { id: 'f' })
  await store.clearSession('s')
  await fail(store, 's', 'r1')
  await fail(store, 's', 'r2', 'r1')
  await store.deleteSession('f')
  assert.deepEqual(left(), ['r1', 'r2'])
  await store.forkSession('s', { id: 'g' })
  await store.deleteSession('s')
  await fail(store, 'g', 'r3', 'r2')
  await store.deleteSession('g')
  assert.deepEqual(left(), [])
})

test('a session of an id that was used before has nothing of the other, and leaves nothing of it', async (t) => {
  const { store, left } = openWatched(t)
  await store.open({ id: 's' })
  await store.addMessages('s', [user('one', 'word')])
  await store.forkSession('s', { id: 'f' })
  await store.addMessages('f', [user('two', 'word')])
  await store.deleteSession('s')
  await store.forkSession('f', { id: 's' })
  await store.addMessages('s', [user('three', 'word')])
  const found = async (options = {}) =>
    (await store.search('word', options)).map(({ message, sessionId }) => `${message.id} in ${sessionId}`)
  assert.deepEqual(await found({ sessionId: 's' }), ['three in s', 'two in s', 'one in s'])
  assert.deepEqual(await found(), ['three in s', 'two in f', 'one in f'])
  await store.deleteSession('f')
  assert.deepEqual(await found(), ['three in s', 'two in s', 'one in s'])
  await store.deleteSession('s')
  assert.deepEqual(left(), [])
})
