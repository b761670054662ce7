/** Search: behind the commits, within its session, and bounded whatever it is asked. */
import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { SearchHit } from '../../src/store/store.ts'
import { half, openStore, text, turn, user } from '../support/store-kit.ts'

const found = (hits: readonly SearchHit[]) => hits.map(({ message }) => message.id)

test('finds what was just written, newest first, all words in any order, without case or accents', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages('s', [
    user('a', 'The quick brown fox'),
    user('b', 'A FOX, quick as ever. Café'),
    user('c', 'dog'),
    {
      id: 'd',
      role: 'tool',
      content: [{ type: 'tool-result', toolCallId: 'c', result: { animal: 'heron' } }],
    },
  ])
  const hits = await store.search('fox QUICK')
  assert.deepEqual(found(hits), ['b', 'a'])
  assert.equal(hits[0]?.snippet, 'A **FOX**, **quick** as ever. Café')
  assert.deepEqual(found(await store.search('cafe')), ['b'])
  assert.deepEqual(found(await store.search('heron')), ['d'])
  assert.deepEqual(found(await store.search('fox dog')), [])
  assert.deepEqual(found(await store.search('fox', { limit: 1 })), ['b'])
})

test('empty queries, and those without a word, give nothing', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages('s', [user('a', 'x * " AND')])
  for (const query of ['', ' ', '"', '***', '-', '\0', '\uD800', '()', '\u0301', '👍']) {
    assert.deepEqual(await store.search(query), [], JSON.stringify(query))
  }
  assert.deepEqual(await store.search('x', { limit: 0 }), [])
  await assert.rejects(store.search('x', { limit: 1.5 }), { code: 'store_failed' })
})

test('operators and column names are words', async (t) => {
  const { store } = openStore(t)
  for (const id of ['s', 'other']) await store.open({ id })
  await store.addMessages('s', [user('a', 'this and that, or not near text owner')])
  await store.addMessages('other', [user('b', 'secret')])
  for (const query of [
    'this AND that',
    'OR NOT',
    'NEAR(this that)',
    'text:this',
    'owner : text',
    '"this" + that',
    'th^is that',
  ])
    await store.search(query)
  assert.deepEqual(found(await store.search('this AND that')), ['a'])
  assert.deepEqual(found(await store.search('NOT near')), ['a'])
  const crossing = [
    'secret',
    'text:secret',
    '} : secret',
    'secret" OR {owner} : "',
    'x" OR "secret',
    'secret*',
    'owner:6F74686572',
  ]
  for (const query of crossing) assert.deepEqual(await store.search(query, { sessionId: 's' }), [], query)
})

test('a search of a session finds its own words and those that it shares, no others', async (t) => {
  const { store } = openStore(t)
  const ids = ['s', 'S', 's s', 's" OR "', "'; DROP TABLE messages; --", 'é', 'a\0b', 'a', '%', '👩‍👩‍👧']
  for (const id of ids) {
    await store.open({ id })
    await store.addMessages(id, [user(`m ${id}`, 'same words')])
  }
  for (const id of ids)
    assert.deepEqual(found(await store.search('same', { sessionId: id })), [`m ${id}`], JSON.stringify(id))
  assert.equal((await store.search('same', { limit: 100 })).length, ids.length)
  await store.forkSession('s', { id: 'f' })
  await turn(store, 's', 'later', 'same later')
  await turn(store, 'f', 'own', 'same own')
  assert.deepEqual(found(await store.search('same', { sessionId: 'f' })), ['a-own', 'm s'])
  assert.deepEqual(found(await store.search('same', { sessionId: 's' })), ['a-later', 'm s'])
  assert.deepEqual(await store.search('same', { sessionId: 'nobody' }), [])
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a search of a session finds what is on its branch, and that only', async (t) => {
  const { store } = openStore(t)
  const { writer } = store
  const finds = async (sessionId: string) => found(await store.search('question', { sessionId })).sort()
  const said = (id: string) => user(id, `question ${id}`)
  const begin = (sessionId: string, name: string) =>
    store.beginTurn({ sessionId, replyId: `r-${name}`, messages: [said(name)], writer })
  // Forks of forks, the middle of which is gone.
  await store.open({ id: 'g' })
  await store.addMessages('g', [said('g1')])
  for (const [from, to] of [
    ['g', 'h'],
    ['h', 'i'],
  ] as const) {
    await store.forkSession(from, { id: to })
    await store.addMessages(to, [said(`${to}1`)])
  }
  await store.deleteSession('h')
  assert.deepEqual(await finds('i'), ['g1', 'h1', 'i1'])
  assert.deepEqual(await finds('g'), ['g1'])
  // A turn that runs while its session is added to, forked and cleared.
  await store.open({ id: 'r' })
  await begin('r', 'u')
  await store.addMessages('r', [said('r1')])
  await store.forkSession('r', { id: 'f' })
  assert.deepEqual([await finds('r'), await finds('f')], [['r1', 'u'], ['r1']])
  await store.clearSession('r')
  assert.deepEqual([await finds('r'), await finds('f')], [['u'], ['r1']])
  await store.endTurn('r-u', { status: 'complete', content: text('an answer') })
  await store.addMessages('r', [said('r2')])
  assert.deepEqual(await finds('r'), ['r2', 'u'])
  // Two forks of one session, that was cleared between them and is gone.
  await store.open({ id: 'c' })
  await store.addMessages('c', [said('c1')])
  await store.forkSession('c', { id: 'before' })
  await store.clearSession('c')
  await store.addMessages('c', [said('c2')])
  await store.forkSession('c', { id: 'after' })
  for (const isGone of [false, true]) {
    if (isGone) await store.deleteSession('c')
    assert.deepEqual([await finds('before'), await finds('after')], [['c1'], ['c2']])
  }
  // As many beside the branch as a page has.
  for (let at = 0; at < 30; at++) await store.addMessages('f', [said(`f${at}`)])
  await store.forkSession('f', { id: 'e' }, 'r1')
  assert.deepEqual(await finds('e'), ['r1'])
  await store.clearSession('f')
  assert.deepEqual(await finds('f'), [])
})

test('a reply that was repeated is found only where it is still read, and a hit names a session that has it', async (t) => {
  const { store } = openStore(t)
  const { writer } = store
  const named = async () =>
    (await store.search('answer')).map(({ message, sessionId }) => `${message.id} in ${sessionId}`)
  const repeat = async (sessionId: string, repeats: string, replyId: string) => {
    await store.beginTurn({ sessionId, replyId, messages: [], writer, repeats })
    assert.ok(!(await named()).includes(`${repeats} in ${sessionId}`))
    await store.endTurn(replyId, { status: 'failed', content: text('answer') })
  }
  await store.open({ id: 's' })
  await store.beginTurn({ sessionId: 's', replyId: 'r1', messages: [user('q')], writer })
  await store.endTurn('r1', { status: 'failed', content: text('answer') })
  assert.deepEqual(await named(), ['r1 in s'])
  await repeat('s', 'r1', 'r2')
  assert.deepEqual(await named(), ['r2 in s'])
  await store.forkSession('s', { id: 'f' })
  await repeat('s', 'r2', 'r3')
  assert.deepEqual(await named(), ['r3 in s', 'r2 in f'])
  await repeat('f', 'r2', 'r4')
  assert.deepEqual(await named(), ['r4 in f', 'r3 in s'])
  await store.addMessages('s', [user('m', 'an answer')])
  await store.forkSession('s', { id: 'g' })
  await store.deleteSession('s')
  assert.deepEqual(await named(), ['m in g', 'r4 in f', 'r3 in g'])
  await store.clearSession('g')
  assert.deepEqual(await named(), ['r4 in f'])
})

test('deleted and replaced texts are not found, and the index stays true', async (t) => {
  const { store } = openStore(t)
  for (const id of ['s', 'd']) await store.open({ id })
  await turn(store, 'd', '1', 'gone soon')
  await half(store, 's', '2', [text('streaming words')])
  assert.deepEqual(await store.search('streaming'), [])
  await store.endTurn('a-2', { status: 'complete', content: text('final words') })
  assert.deepEqual(found(await store.search('words')), ['a-2'])
  await store.deleteSession('d')
  assert.deepEqual(await store.search('gone'), [])
  await turn(store, 's', '3')
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('the index follows by itself when the writer is idle', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages(
    's',
    Array.from({ length: 700 }, (_, at) => user(`m${at}`)),
  )
  const database = new SQLite(path, { readonly: true })
  t.onTestFinished(() => void database.close())
  const left = database.prepare('SELECT count(*) FROM outstanding').pluck()
  for (let time = 0; time < 300 && left.get() !== 0; time++) await setTimeout(10)
  assert.equal(left.get(), 0)
})
