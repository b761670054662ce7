/** Sessions and messages in a store: real files, a real thread. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import SQLite from 'better-sqlite3'
import { test } from 'vitest'
import type { AssistantPart } from '../../src/types.ts'
import type { ReplyFields } from '../../src/store/store.ts'
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { idsOf, openStore, text, textOf, turn, user } from '../support/store-kit.ts'

test('a session is made once and keeps its fields; what it lacks is absent', async (t) => {
  const { store } = openStore(t)
  const made = await store.open({ id: 's', system: 'Be brief.', metadata: { tags: ['a'] } })
  assert.deepEqual(Object.keys(made).sort(), ['createdAt', 'id', 'metadata', 'system', 'turns', 'updatedAt'])
  assert.deepEqual(await store.open({ id: 's', system: 'Other.' }), made)
  assert.deepEqual(await store.find('s'), made)
  assert.equal(made.turns, 0)
  assert.ok(made.createdAt instanceof Date)
  assert.equal(await store.find('t'), undefined)
  const changed = await store.updateSession('s', { metadata: { b: 1 } })
  assert.deepEqual([changed.system, changed.metadata], ['Be brief.', { b: 1 }])
})

test('sessions are listed by their last change, whatever the clock says', async (t) => {
  const { store } = openStore(t)
  for (const id of ['a', 'b', 'c']) await store.open({ id })
  await store.addMessages('a', [user('m')])
  assert.deepEqual(
    (await store.list()).map(({ id }) => id),
    ['a', 'c', 'b'],
  )
  assert.deepEqual(
    (await store.list({ limit: 1, offset: 1 })).map(({ id }) => id),
    ['c'],
  )
  await assert.rejects(store.list({ limit: -1 }), { code: 'store_failed' })
})

test('a list of all sessions has each once, whatever is written meanwhile', async (t) => {
  const { store } = openStore(t)
  const ids = Array.from({ length: 1_200 }, (_, at) => `s${at}`)
  await Promise.all(ids.map((id) => store.open({ id })))
  let isListed = false
  const change = async () => {
    for (let at = 0; !isListed; at++) await store.updateSession(`s${at % 1_200}`, { system: `${at}` })
  }
  const changing = change()
  const listed = (await store.list()).map(({ id }) => id)
  isListed = true
  await changing
  assert.deepEqual(listed.sort(), ids.sort())
  assert.deepEqual(await store.list({ offset: 1_150 }), (await store.list()).slice(1_150))
  assert.deepEqual(await store.list({ limit: 1_000 }), (await store.list()).slice(0, 1_000))
})

test('a message comes back as it was stored, with all that is known of a reply', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  const content: AssistantPart[] = [
    { type: 'reasoning', text: 'Hm', signature: 'sig', provider: 'anthropic' },
    { type: 'text', text: 'Yes' },
    { type: 'tool-call', id: 'c1', name: 'look', arguments: { at: [1, null, 'x'] }, signature: 's' },
  ]
  const fields: ReplyFields = {
    provider: 'anthropic',
    model: 'm',
    responseId: 'r',
    finishReason: 'tool-calls',
    rawFinishReason: 'tool_use',
    refusal: 'no',
    usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, source: 'provider' },
    costUsd: 0.25,
    timing: { firstChunkMs: 1.5, totalMs: 2, attempts: 1 },
    warnings: [{ type: 'other', message: 'w' }],
    error: { code: 'cancelled', message: 'stop' },
  }
  await store.beginTurn({
    sessionId: 's',
    replyId: 'a',
    messages: [user('q')],
    writer: store.writer,
    operationId: 'op',
  })
  await store.endTurn('a', { status: 'cancelled', content, ...fields })
  const picture = { type: 'image', image: 'aGk=', mediaType: 'image/png' } as const
  await store.addMessages('s', [
    {
      id: 'tool',
      role: 'tool',
      content: [{ type: 'tool-result', toolCallId: 'c1', result: { n: 1 }, isError: true }],
    },
    {
      id: 'p',
      role: 'user',
      content: [picture, { type: 'file', file: new Uint8Array([104, 105]), mediaType: 'text/plain' }],
    },
  ])
  await store.close()
  const again = sqliteStore({ path })
  t.onTestFinished(() => again.close())
  const [question, reply, tool, files] = await again.readMessages('s')
  const { createdAt, sequence, ...rest } = reply as unknown as Record<string, unknown>
  assert.deepEqual(rest, {
    ...fields,
    id: 'a',
    sessionId: 's',
    parentId: 'q',
    turn: 1,
    role: 'assistant',
    status: 'cancelled',
    operationId: 'op',
    content,
  })
  assert.ok(createdAt instanceof Date && sequence === (question?.sequence ?? 0) + 1)
  assert.deepEqual(tool?.content, [
    { type: 'tool-result', toolCallId: 'c1', result: { n: 1 }, isError: true },
  ])
  assert.equal(tool?.turn, 2)
  assert.deepEqual(files?.content, [picture, { type: 'file', file: 'aGk=', mediaType: 'text/plain' }])
})

test('any text comes back: NUL, astral, controls; a lone surrogate as U+FFFD, also in keys and arguments', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's', system: 'a\0b\uD800' })
  const said = 'a\0b 👩‍👩‍👧 \u0001\u007F\u2028 \\ud800 \\\\ "quoted" \r\n é'
  const broken: AssistantPart[] = [
    { type: 'text', text: 'x\uD83D' },
    { type: 'tool-call', id: 'c', name: 'n', arguments: { 'k\uDC00': '\uDFFF\\\uD800' } },
  ]
  await store.addMessages('s', [user('m', said), { id: 'b', role: 'assistant', content: broken }])
  const [message, mended] = await store.readMessages('s')
  assert.equal(message && textOf(message), said)
  assert.deepEqual(mended?.content, [
    { type: 'text', text: 'x\uFFFD' },
    { type: 'tool-call', id: 'c', name: 'n', arguments: { 'k\uFFFD': '\uFFFD\\\uFFFD' } },
  ])
  assert.equal((await store.find('s'))?.system, 'a\0b\uFFFD')
})

test('a message that JSON has no form for is refused, and its neighbours are not', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const bad = (result: unknown) =>
    store.addMessages('s', [
      { id: 'x', role: 'tool', content: [{ type: 'tool-result', toolCallId: 'c', result }] },
    ])
  await assert.rejects(bad(circle), { code: 'store_failed' })
  await assert.rejects(bad(1n), { code: 'store_failed' })
  await assert.rejects(store.addMessages('s', [user('')]), { code: 'store_failed' })
  await store.addMessages('s', [user('ok')])
  assert.deepEqual(idsOf(await store.readMessages('s')), ['ok'])
})

test('one write that fails leaves those of the same commit alone', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages('s', [user('taken')])
  const settled = await Promise.allSettled([
    store.addMessages('s', [user('one')]),
    store.addMessages('nobody', [user('two')]),
    store.addMessages('s', [user('three'), user('three')]),
    store.updateSession('nobody', {}),
    store.forkSession('s', { id: 'f' }, 'nothing'),
    store.addMessages('s', [user('four'), user('taken')]),
    store.addMessages('s', [user('five')]),
  ])
  const codes = settled.map((one) => (one.status === 'rejected' ? one.reason.code : 'ok'))
  assert.deepEqual(codes, [
    'ok',
    'session_not_found',
    'store_failed',
    'session_not_found',
    'store_failed',
    'store_failed',
    'ok',
  ])
  assert.deepEqual(idsOf(await store.readMessages('s')), ['taken', 'one', 'five'])
  // Nothing of what failed is left behind.
  await store.addMessages('s', [user('three'), user('four')])
  assert.deepEqual(idsOf(await store.readMessages('s')), ['taken', 'one', 'five', 'three', 'four'])
  assert.equal(await store.find('f'), undefined)
})

test('a write that is repeated lands once and gives the same answer', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  const added = await store.addMessages('s', [user('a'), user('b')])
  assert.deepEqual(await store.addMessages('s', [user('a'), user('b')]), added)
  const request = { sessionId: 's', replyId: 'r', messages: [user('q')], writer: store.writer }
  const begun = await store.beginTurn(request)
  assert.deepEqual(begun, { kind: 'begun', turn: 2 })
  assert.deepEqual(await store.beginTurn(request), begun)
  for (let time = 0; time < 2; time++) await store.appendDelta('r', { number: 0, parts: text('x') })
  for (let time = 0; time < 2; time++) await store.endTurn('r', { status: 'complete', content: text('x') })
  await store.appendDelta('r', { number: 0, parts: text('x') })
  assert.deepEqual(await store.beginTurn(request), begun)
  const fork = await store.forkSession('s', { id: 'f' })
  assert.deepEqual(await store.forkSession('s', { id: 'f' }), fork)
  assert.deepEqual(idsOf(await store.readMessages('s')), ['a', 'b', 'q', 'r'])
  await store.deleteSession('s')
  await store.deleteSession('s')
})

test('reads a branch by pages: the last ones, those before one, all of 1,201', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  await store.addMessages(
    's',
    Array.from({ length: 1201 }, (_, at) => user(`m${at}`)),
  )
  assert.deepEqual(idsOf(await store.readMessages('s', { limit: 2 })), ['m1199', 'm1200'])
  assert.deepEqual(idsOf(await store.readMessages('s', { limit: 2, before: 'm700' })), ['m698', 'm699'])
  assert.deepEqual(await store.readMessages('s', { limit: 0 }), [])
  const all = await store.readMessages('s')
  assert.deepEqual(
    idsOf(all),
    Array.from({ length: 1201 }, (_, at) => `m${at}`),
  )
  assert.ok(all.every(({ sequence }, at) => at === 0 || sequence > (all[at - 1]?.sequence ?? 0)))
  assert.deepEqual(idsOf(await store.readMessages('s', { before: 'm0' })), [])
  await assert.rejects(store.readMessages('s', { before: 'gone' }), { code: 'store_failed' })
  await assert.rejects(store.readMessages('t'), { code: 'session_not_found' })
})

test('a fork is one row: it shares what was, and neither sees what the other says after', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's', system: 'sys' })
  await turn(store, 's', '1')
  await turn(store, 's', '2')
  const fork = await store.forkSession('s', { id: 'f' }, 'a-1')
  assert.deepEqual([fork.headId, fork.forkedFrom, fork.turns, fork.system], ['a-1', 's', 1, 'sys'])
  await turn(store, 'f', 'f2')
  assert.deepEqual(idsOf(await store.readMessages('f')), ['q-1', 'a-1', 'q-f2', 'a-f2'])
  assert.deepEqual(idsOf(await store.readMessages('s')), ['q-1', 'a-1', 'q-2', 'a-2'])
  await assert.rejects(store.readMessages('f', { before: 'a-2' }), { code: 'store_failed' })
  await assert.rejects(store.forkSession('f', { id: 'g' }, 'a-2'), { code: 'store_failed' })
  await assert.rejects(store.forkSession('s', { id: 's' }), { code: 'store_failed' })
  await assert.rejects(store.forkSession('s', { id: 'f' }, 'a-2'), { code: 'store_failed' })
  const database = new SQLite(path, { readonly: true })
  assert.equal(database.prepare('SELECT count(*) FROM messages').pluck().get(), 6)
  database.close()
})

test('a deleted session leaves what its forks read, the last fork takes that along', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  await store.forkSession('s', { id: 'f' })
  await store.forkSession('f', { id: 'g' })
  await turn(store, 's', '2')
  await turn(store, 'f', 'f')
  await store.open({ id: 'x' })
  await turn(store, 'x', 'x')
  await store.forkSession('x', { id: 'y' })
  await turn(store, 'y', 'y')
  await store.deleteSession('x')
  assert.deepEqual(idsOf(await store.readMessages('y')), ['q-x', 'a-x', 'q-y', 'a-y'])
  await store.deleteSession('y')
  await store.deleteSession('s')
  assert.deepEqual(idsOf(await store.readMessages('f')), ['q-1', 'a-1', 'q-f', 'a-f'])
  await store.deleteSession('f')
  assert.deepEqual(idsOf(await store.readMessages('g')), ['q-1', 'a-1'])
  await assert.rejects(store.readMessages('s'), { code: 'session_not_found' })
  await store.deleteSession('g')
  const database = new SQLite(path, { readonly: true })
  assert.equal(database.prepare('SELECT count(*) FROM messages').pluck().get(), 0)
  database.close()
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a cleared session begins anew, its forks keep what they read', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's', system: 'sys' })
  await turn(store, 's', '1')
  await store.forkSession('s', { id: 'f' })
  await turn(store, 's', '2')
  await store.clearSession('s')
  const cleared = await store.find('s')
  assert.deepEqual([cleared?.turns, cleared?.headId, cleared?.system], [0, undefined, 'sys'])
  assert.deepEqual(await store.readMessages('s'), [])
  assert.deepEqual(idsOf(await store.readMessages('f')), ['q-1', 'a-1'])
  assert.deepEqual(await store.search('question', { sessionId: 's' }), [])
  assert.equal((await store.search('question', { sessionId: 'f' })).length, 1)
  await turn(store, 's', '3')
  assert.deepEqual(
    (await store.readMessages('s')).map((message) => [message.id, message.turn]),
    [
      ['q-3', 1],
      ['a-3', 1],
    ],
  )
  await store.clearSession('f')
  assert.deepEqual(await store.search('question', { sessionId: 'f' }), [])
  assert.deepEqual(idsOf((await store.search('question')).map(({ message }) => message)), ['q-3'])
  await assert.rejects(store.clearSession('t'), { code: 'session_not_found' })
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('a summary stands for what it replaced, unless the whole is asked for', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  for (const name of ['1', '2', '3']) await turn(store, 's', name)
  const summary = (id: string) => ({ id, role: 'summary' as const, content: text(`sum ${id}`), model: 'm' })
  const compacted = await store.compact('s', summary('y1'), 'a-1')
  assert.deepEqual([compacted.summaryId, compacted.compactedTo, compacted.turns], ['y1', 'a-1', 3])
  assert.deepEqual(await store.compact('s', summary('y1'), 'a-1'), { ...compacted })
  assert.deepEqual(idsOf(await store.readMessages('s')), ['y1', 'q-2', 'a-2', 'q-3', 'a-3'])
  assert.equal((await store.readMessages('s'))[0]?.model, 'm')
  assert.deepEqual(idsOf(await store.readMessages('s', { limit: 4 })), ['q-2', 'a-2', 'q-3', 'a-3'])
  assert.deepEqual(idsOf(await store.readMessages('s', { before: 'q-2' })), ['y1'])
  for (const before of ['y1', 'a-1', 'q-1']) assert.deepEqual(await store.readMessages('s', { before }), [])
  assert.deepEqual(idsOf(await store.readMessages('s', { before: 'a-1', includeCompacted: true })), ['q-1'])
  assert.equal((await store.readMessages('s', { includeCompacted: true })).length, 6)
  await store.forkSession('s', { id: 'late' }, 'a-2')
  await store.forkSession('s', { id: 'early' }, 'q-1')
  assert.deepEqual(idsOf(await store.readMessages('late')), ['y1', 'q-2', 'a-2'])
  assert.deepEqual(idsOf(await store.readMessages('early')), ['q-1'])
  await store.compact('s', summary('y2'), 'a-2')
  assert.deepEqual(idsOf(await store.readMessages('s')), ['y2', 'q-3', 'a-3'])
  assert.deepEqual(idsOf(await store.readMessages('late')), ['y1', 'q-2', 'a-2'])
  await assert.rejects(store.compact('s', summary('y3'), 'gone'), { code: 'store_failed' })
  assert.deepEqual(await store.check(), { isOk: true, problems: [] })
})

test('the shell reads conversations and transcripts', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await turn(store, 's', '1')
  const database = new SQLite(path, { readonly: true })
  t.onTestFinished(() => void database.close())
  const [conversation] = database.prepare('SELECT id, turns, last_text FROM conversations').all()
  assert.deepEqual(conversation, { id: 's', turns: 1, last_text: 'answer 1' })
  assert.deepEqual(
    database.prepare('SELECT session, turn, role, text, status, parent_id FROM transcript').all(),
    [
      { session: 's', turn: 1, role: 'user', text: 'question 1', status: 'complete', parent_id: null },
      { session: 's', turn: 1, role: 'assistant', text: 'answer 1', status: 'complete', parent_id: 'q-1' },
    ],
  )
})

test('writes that nobody awaits are refused past the bound, none that was accepted is lost', async (t) => {
  const { store, path } = openStore(t)
  await store.open({ id: 's' })
  await store.beginTurn({ sessionId: 's', replyId: 'r', messages: [], writer: store.writer })
  const settled = await Promise.allSettled(
    Array.from({ length: 100_500 }, (_, at) =>
      store.appendDelta('r', { number: at, parts: at % 1_000 === 0 ? text('x') : [] }),
    ),
  )
  const refused = settled.filter(({ status }) => status === 'rejected')
  assert.ok(refused.length > 0 && refused.length <= 500, String(refused.length))
  await store.close()
  const database = new SQLite(path, { readonly: true })
  t.onTestFinished(() => void database.close())
  const kept = database.prepare(`SELECT text FROM messages WHERE id = 'r'`).pluck().get()
  const accepted = settled.filter(({ status }, at) => status === 'fulfilled' && at % 1_000 === 0)
  assert.equal(kept, 'x'.repeat(accepted.length))
})

test('a history that is cleared or compacted while it is read is whole, of one state', async (t) => {
  const { store } = openStore(t)
  const messages = (name: string) => Array.from({ length: 2_000 }, (_, at) => user(`${name}${at}`))
  await store.open({ id: 'c' })
  await store.addMessages('c', messages('c'))
  const [cleared] = await Promise.all([store.readMessages('c'), store.clearSession('c')])
  assert.ok([0, 2_000].includes(cleared.length), String(cleared.length))
  await store.open({ id: 'd' })
  await store.addMessages('d', messages('d'))
  const summary = (id: string) => ({ id, role: 'summary' as const, content: text(id) })
  await store.compact('d', summary('y'), 'd100')
  const [compacted] = await Promise.all([store.readMessages('d'), store.compact('d', summary('z'), 'd1800')])
  assert.deepEqual(
    [compacted[0]?.id, compacted[1]?.id, compacted.length],
    compacted[0]?.id === 'y' ? ['y', 'd101', 1_900] : ['z', 'd1801', 200],
  )
})

test('what cannot be stored is refused alone, as a ConvokeError', async (t) => {
  const { store } = openStore(t)
  await store.open({ id: 's' })
  const wrong = (value: unknown) => value as string
  const refused = { name: 'ConvokeError', code: 'store_failed' }
  const [deleted, added] = await Promise.allSettled([
    store.deleteSession(wrong(() => 1)),
    store.addMessages('s', [user('m')]),
  ])
  assert.equal(added.status, 'fulfilled')
  await assert.rejects(async () => {
    if (deleted.status === 'rejected') throw deleted.reason
  }, refused)
  await assert.rejects(store.search(wrong(5)), refused)
  await assert.rejects(store.open({ id: 't', system: wrong(5) }), refused)
  await assert.rejects(store.updateSession('s', { system: wrong(5) }), refused)
  await assert.rejects(store.find(wrong({})), { ...refused, message: /Give a string/ })
})

test('closing a store whose file never opened is no failure', async (t) => {
  const { folder } = openStore(t)
  const store = sqliteStore({ path: join(folder, 'none', 'chat.db') })
  await assert.rejects(store.find('s'), { code: 'store_failed' })
  await store.close()
})
