/** Sessions in a window that is too small, searched, exported and imported. */
import assert from 'node:assert/strict'
import { createSession, importSession, sqliteStore } from 'convoke'
import { test } from 'vitest'
import type { HistoryMessage } from '../../src/session/history.ts'
import { cutToFit } from '../../src/session/context-window.ts'
import { codeOf, connect, open, path, simulator, wire } from '../support/session-kit.ts'

const call = { toolCalls: [{ id: 'call.1:x', name: 'clock', arguments: { zone: 'UTC' } }] }
const tools = [{ name: 'clock', description: 'The time' }]

test('trimming leaves out the oldest turns, and never parts a tool call from its result', async () => {
  await using session = open({ system: 'Be brief.', context: { maxTokens: 120 } })
  for (let at = 0; at < 4; at++) {
    simulator.setReply(call)
    const asked = await session.agenerate(`Question ${at} ${'word '.repeat(8)}`, { tools })
    simulator.setReply(`Answer ${at} ${'word '.repeat(8)}`)
    await session.agenerate({ role: 'tool', toolCallId: asked.toolCalls[0]?.id ?? '', content: 'noon' })
  }
  const sent = wire() ?? []
  assert.ok(sent.length < 15 && sent[0]?.startsWith('user: Question'), sent[0])
  assert.equal(simulator.requests.at(-1)?.system, 'Be brief.')
  assert.equal((await session.history()).length, 16)
  assert.equal(await codeOf(session.agenerate('long '.repeat(200))), 'context_length_exceeded')
  await using strict = open({ context: { maxTokens: 20, onOverflow: 'error' } })
  assert.equal(await codeOf(strict.agenerate('word '.repeat(50))), 'context_length_exceeded')
})

test('a result of a tool is sent with its call and the question, or refused where those do not fit', async () => {
  const question = `When? ${'word '.repeat(100)}`
  for (const onOverflow of ['trim', 'compact'] as const) {
    await using session = open({ context: { maxTokens: 190, onOverflow } })
    await session.agenerate('word '.repeat(50))
    simulator.setReply(call)
    const [toolCall] = (await session.agenerate(question, { tools })).toolCalls
    const result = (words: number) =>
      ({ role: 'tool', toolCallId: toolCall?.id ?? '', content: 'noon '.repeat(words) }) as const
    simulator.setReply('At noon.')
    assert.equal(await codeOf(session.agenerate(result(100))), 'context_length_exceeded')
    await session.agenerate(result(40))
    const roles = simulator.requests.at(-1)?.messages.map(({ role }) => role)
    assert.deepEqual(roles, ['user', 'assistant', 'tool'])
    assert.equal(wire()?.[0], `user: ${question}`)
  }
})

test('a compaction lets a summary stand for the older turns, on the wire too, and keeps them in the store', async () => {
  await using session = open({ system: 'Be brief.' })
  for (const prompt of ['I am Alice', 'I like tea', 'I live in Oslo', 'It rains'])
    await session.agenerate(prompt)
  simulator.setReply('Alice likes tea.')
  await session.compact({ keepRecent: 1, focus: 'names' })
  assert.match(simulator.requests.at(-1)?.prompt ?? '', /user: I am Alice[^]*I live in Oslo[^]*keep: names/)
  simulator.setReply('Yes.')
  await session.agenerate('Is it wet?')
  assert.match(simulator.requests.at(-1)?.system ?? '', /Be brief\.[^]*Alice likes tea\./)
  assert.deepEqual(wire(), ['user: It rains', 'assistant: You said It rains', 'user: Is it wet?'])
  assert.equal((await session.history()).length, 5)
  assert.equal((await session.history({ includeCompacted: true })).length >= 10, true)
})

test('a fork at a summary sends that summary, and its export has it', async () => {
  await using session = open()
  for (const prompt of ['I am Alice', 'I like tea']) await session.agenerate(prompt)
  simulator.setReply('Alice likes tea.')
  await session.compact({ keepRecent: 1 })
  const [summary] = await session.history()
  await using fork = await session.fork({ at: summary?.id ?? '' })
  const lines: string[] = []
  for await (const line of fork.export()) lines.push(line)
  await using copy = await importSession(connect(), lines, { store: path() })
  for (const one of [fork, copy]) {
    await one.agenerate('Who am I?')
    assert.match(simulator.requests.at(-1)?.system ?? '', /Alice likes tea\./)
    assert.deepEqual(wire(), ['user: Who am I?'])
  }
})

test("with onOverflow: 'compact' a session that outgrows its window sends a summary", async () => {
  await using session = open({ context: { maxTokens: 150, onOverflow: 'compact' } })
  simulator.setReply(({ system }) => (system ? 'They counted.' : `Reply ${'word '.repeat(10)}`))
  for (let at = 0; at < 8; at++) await session.agenerate(`Number ${at} ${'word '.repeat(10)}`)
  assert.match(simulator.requests.at(-1)?.system ?? '', /They counted\./)
  const compactions = simulator.requests.filter(({ system }) =>
    system?.includes('the memory of a conversation'),
  )
  assert.ok(compactions.length >= 1 && compactions.length <= 4, `${compactions.length} compactions`)
  assert.ok((wire()?.length ?? 99) < 12)
})

test('tokens grow with the history; a search finds messages of this session alone', async () => {
  const store = sqliteStore({ path: path() })
  await using session = createSession(connect(), { store })
  const empty = await session.tokens()
  await session.agenerate('The quick brown fox')
  assert.ok((await session.tokens()) > empty + 6)
  await using other = createSession(connect(), { store })
  await other.agenerate('The slow brown bear')
  const hits = await session.search('brown')
  assert.ok(hits.length >= 1)
  assert.ok(hits.every(({ message }) => message.sessionId === session.id))
  assert.equal((await store.list()).length, 2)
  await store.close()
})

test('a session that was exported is the same when it is imported', async () => {
  await using session = open({ system: 'Be brief.', metadata: { topic: 'tea' } })
  simulator.setReply({ ...call, reasoning: 'Hm.' })
  const { toolCalls } = await session.agenerate('What time?', { tools })
  simulator.setReply('Noon \u2028 \ud83d\ude42')
  await session.agenerate({ role: 'tool', toolCallId: toolCalls[0]?.id ?? '', content: '12' })
  const lines = []
  for await (const line of session.export()) lines.push(line)
  await using copy = await importSession(connect(), lines, { store: path() })
  const said = async (one: typeof session) =>
    (await one.history()).map(({ role, content, status, turn, usage, model }) => ({
      ...{ role, content, status, turn, usage, model },
    }))
  assert.deepEqual(await said(copy), await said(session))
  assert.equal(await codeOf(importSession(connect(), '{"format":"other"}')), 'invalid_request')
  assert.equal(
    await codeOf(importSession(connect(), lines.join('').replace('"version":1', '"version":2'))),
    'invalid_request',
  )
  assert.equal(await codeOf(importSession(connect(), lines.join('').slice(0, -20))), 'invalid_request')
})

test('options that do not exist, or cannot be so, are refused at once', () => {
  const bad: [object, RegExp][] = [
    [{ stor: 'x' }, /no option stor\..*store/],
    [{ turns: 'wait' }, /turns is "wait"; it takes 'queue', 'reject' or 'fork'/],
    [{ context: { maxTokens: 0 } }, /context\.maxTokens is 0/],
    [{ id: '' }, /id is ""/],
  ]
  for (const [options, message] of bad) {
    assert.throws(() => createSession(connect(), options), { code: 'configuration', message })
  }
})

test('a history is cut where a user speaks; a known window is kept without being told', async () => {
  let ids = 0
  const said = (role: 'user' | 'assistant' | 'tool') =>
    ({ id: String(ids++), role, content: [{ type: 'text', text: 'word '.repeat(20) }] }) as HistoryMessage
  const history = (['user', 'assistant', 'tool', 'assistant', 'user', 'assistant'] as const).map(said)
  assert.deepEqual(
    [1_000, 130, 60, 10].map((budget) => cutToFit(history, budget)),
    [0, 4, 4, 6],
  )
  await using session = createSession(connect('openai', { model: 'gpt-4' }), { store: path() })
  for (let at = 0; at < 4; at++) await session.agenerate(`${at} ${'word '.repeat(2_500)}`)
  const sent = wire()
  assert.ok((sent?.length ?? 0) < 7 && sent?.at(-1)?.startsWith('user: 3'))
})

test('a window is filled with what its model makes of the text', async () => {
  const sent = async (model: string) => {
    const llm = connect('anthropic', { model })
    await using session = createSession(llm, { store: path(), context: { maxTokens: 1_000 } })
    simulator.setReply('word '.repeat(45))
    for (let at = 0; at < 12; at++) await session.agenerate('word '.repeat(45))
    return { messages: wire()?.length ?? 0, tokens: await session.tokens() }
  }
  const [plain, claude] = [await sent('some-model'), await sent('claude-opus-4-6')]
  assert.ok(claude.messages < plain.messages, `${claude.messages} for ${plain.messages}`)
  assert.ok(claude.tokens > plain.tokens * 1.1, `${claude.tokens} for ${plain.tokens}`)
})

test('an import whose tool results have no call is sent without them', async () => {
  const lines = [
    { format: 'convoke-session', version: 1, session: {} },
    { role: 'user', content: [{ type: 'text', text: 'Hi' }], turn: 1 },
    {
      role: 'tool',
      content: [{ type: 'tool-result', toolCallId: 'gone', name: 'clock', result: 1 }],
      turn: 1,
    },
    { role: 'assistant', content: [{ type: 'text', text: 'Hello' }], turn: 1, status: 'complete' },
  ]
  const text = lines.map((line) => JSON.stringify(line)).join('\n')
  await using session = await importSession(connect('anthropic'), text, { store: path() })
  await session.agenerate('Go on')
  assert.deepEqual(wire(), ['user: Hi', 'assistant: Hello', 'user: Go on'])
})

test('messages of one id in two stores are counted each by itself', async () => {
  const tokens: number[] = []
  for (const words of [5, 400]) {
    await using session = open({ id: 's' })
    await session.history()
    const content: [{ type: 'text'; text: string }] = [{ type: 'text', text: 'word '.repeat(words) }]
    await session.store.addMessages('s', [{ id: 'own', role: 'user', content }])
    tokens.push(await session.tokens())
  }
  assert.ok((tokens[1] ?? 0) > 390, `${tokens.join(', ')} tokens`)
})

test('a prompt of several user messages is one turn, for compacting and for trimming', async () => {
  const prompt = (name: string) => [
    { role: 'user', content: `first ${name}` } as const,
    { role: 'user', content: `second ${name}` } as const,
  ]
  await using session = open()
  for (const name of ['a', 'b', 'c']) await session.agenerate(prompt(name))
  simulator.setReply('A summary.')
  await session.compact({ keepRecent: 2 })
  const texts = (await session.history()).map(({ content }) => (content[0] as { text: string }).text)
  assert.equal(texts.length, 7)
  assert.deepEqual(texts.slice(1, 3), ['first b', 'second b'])

  // Room for one of the two messages is no room for the turn.
  await using narrow = open({ context: { maxTokens: 170 } })
  simulator.setReply('ok')
  const said = ['x', 'y'].map((letter) => ({ role: 'user' as const, content: `${letter} `.repeat(100) }))
  await narrow.add([...said, { role: 'assistant', content: 'ok' }])
  await narrow.agenerate('And now?')
  assert.deepEqual(wire(), ['user: And now?'])
})
