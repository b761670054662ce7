/** Sessions of many messages: a turn reads no more of them than it sends. */
import assert from 'node:assert/strict'
import { createSession, importSession, sqliteStore } from 'convoke'
import type { SessionOptions, StoredMessage } from 'convoke'
import type { AddedMessage, SessionRecord, Store } from 'convoke/store'
import { test } from 'vitest'
import { exportLines, parseExportLines, yieldingToEventLoop } from '../../src/session/export-lines.ts'
import { fitContext } from '../../src/session/fit-context.ts'
import type { HistoryMessage } from '../../src/session/history.ts'
import { countAhead, totalTokens } from '../../src/session/history-tokens.ts'
import { codeOf, connect, path, simulator, wire } from '../support/session-kit.ts'
import { longHistories } from '../support/long-histories.ts'

const many = 10_000

/** The store itself, and the messages that each reading gave. */
function counted(store: Store): { store: Store; read: number[] } {
  const read: number[] = []
  const passing = new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (name === 'readMessages') {
        return async (...wish: Parameters<Store['readMessages']>) => {
          const messages = await target.readMessages(...wish)
          read.push(messages.length)
          return messages
        }
      }
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  return { store: passing, read }
}

async function longSession(options: SessionOptions = {}, more: readonly AddedMessage[] = []) {
  const { store, read } = counted(sqliteStore({ path: path() }))
  await store.open({ id: 'long' })
  for (let first = 0; first < many; first += 500) {
    const messages = Array.from({ length: 500 }, (_, at) => said(first + at))
    await store.addMessages('long', messages)
  }
  if (more.length > 0) await store.addMessages('long', more)
  const session = createSession(connect(), { store, id: 'long', ...options })
  return { session, store, read }
}

function said(number: number): AddedMessage {
  const role = number % 2 === 0 ? 'user' : 'assistant'
  const content: [{ type: 'text'; text: string }] = [
    { type: 'text', text: `${number} ${'word '.repeat(10)}` },
  ]
  return { id: `m${number}`, role, content, turn: Math.floor(number / 2) }
}

const sum = (numbers: number[]) => numbers.splice(0).reduce((total, number) => total + number, 0)

test('a turn reads a branch from its end until the window is full, and sends what it sent before', async () => {
  const { session, store, read } = await longSession({ context: { maxTokens: 2_000 } })
  await session.agenerate('Go on')
  const rows = sum(read)
  assert.ok(rows > 0 && rows < 500, `${rows} messages were read`)
  const sent = wire() ?? []
  assert.ok(sent.length > 60 && sent.length % 2 === 1, `${sent.length} messages were sent`)
  for (const [at, line] of sent.slice(0, -1).entries()) {
    const number = many - sent.length + 1 + at
    assert.equal(line, `${number % 2 === 0 ? 'user' : 'assistant'}: ${number} ${'word '.repeat(10)}`)
  }
  // The same cut as of the whole history, of which every message costs the same here.
  const each = totalTokens([{ ...said(many - 1), id: 'one' } as HistoryMessage], undefined, undefined)
  assert.equal(sent.length, 2 * Math.floor((2_000 - each / 4) / (2 * each)) + 1)
  await session.close()
  await store.close()
})

test('the summary is sent also where it lies far before what was read', async () => {
  const { session, store, read } = await longSession({ context: { maxTokens: 1_000 } })
  await store.compact(
    'long',
    { id: 'sum', role: 'summary', content: [{ type: 'text', text: 'They met.' }] },
    'm1',
  )
  await session.agenerate('Go on')
  assert.ok(sum(read) < 500)
  assert.equal(simulator.requests.at(-1)?.system, 'They met.')
  const [oldest] = await store.readMessages('long', { limit: 3, includeSummary: true })
  assert.equal(oldest?.id, 'sum')
  assert.equal((await store.readMessages('long', { limit: 3 })).length, 3)
  assert.equal(
    (await store.readMessages('long', { includeSummary: true })).length,
    (await store.readMessages('long')).length,
  )
  await session.close()
  await store.close()
})

test('the summary that a fork or an import begins with is sent, however long it has become', async () => {
  const long = Array.from({ length: 200 }, (_, at) => said(at))
  await using store = sqliteStore({ path: path() })
  await using session = createSession(connect(), { store, context: { maxTokens: 500 } })
  for (const prompt of ['I am Alice', 'I like tea']) await session.agenerate(prompt)
  simulator.setReply('Alice likes tea.')
  await session.compact({ keepRecent: 1 })
  const [summary] = await session.history()
  const fork = await session.fork({ at: summary?.id ?? '' })
  const lines: string[] = []
  for await (const line of fork.export()) lines.push(line)
  await using copy = await importSession(connect(), lines, {
    store: path(),
    context: { maxTokens: 500 },
  })
  await store.addMessages(fork.id, long)
  await copy.store.addMessages(copy.id, long)
  // A fork of it, from before the end of what it had compacted itself.
  const own = { id: 'own', role: 'summary' as const, content: [{ type: 'text' as const, text: 'All.' }] }
  await store.compact(fork.id, own, 'm199')
  for (const one of [await fork.fork({ at: 'm190' }), copy]) {
    await one.agenerate('Go on')
    assert.match(simulator.requests.at(-1)?.system ?? '', /Alice likes tea\./)
    assert.ok((wire()?.length ?? 0) > 10)
  }
})

test('results of tools, messages that are added and a fork beside a running turn read the end alone', async () => {
  const asked: AddedMessage[] = [
    { id: 'q', role: 'user', content: [{ type: 'text', text: 'What time is it?' }], turn: 1 },
    {
      id: 'c',
      role: 'assistant',
      content: [{ type: 'tool-call', id: 'c1', name: 'clock', arguments: {} }],
      turn: 1,
    },
  ]
  const { session, store, read } = await longSession({ context: { maxTokens: 500 }, turns: 'fork' }, asked)
  const result = { role: 'tool', toolCallId: 'c1', content: 'noon' } as const
  await session.agenerate(result, { tools: [{ name: 'clock' }] })
  assert.ok(wire()?.some((line) => line.includes('noon')))
  assert.equal(await codeOf(session.agenerate(result)), 'invalid_request')
  await session.add({ role: 'user', content: 'By the way' })
  simulator.setReply({ text: 'slow', latencyMs: 200 })
  const replies = await Promise.all([session.agenerate('One'), session.agenerate('Two')])
  assert.notEqual(replies[0].sessionId, replies[1].sessionId)
  const rows = sum(read)
  assert.ok(rows < 1_500, `${rows} messages were read`)
  await session.close()
  await store.close()
})

test('where the window is not known all is sent', async () => {
  const { session, store } = await longSession()
  await session.agenerate('Go on')
  assert.equal(wire()?.length, many + 1)
  await session.close()
  await store.close()
})

test('turns that brought nothing are left out, also at the very end of what is read', async () => {
  const dead = Array.from({ length: 120 }, (_, at): AddedMessage[] => [
    { id: `d${at}`, role: 'user', content: [{ type: 'text', text: 'dead' }], turn: at },
    { id: `f${at}`, role: 'assistant', content: [], status: 'failed', turn: at },
  ]).flat()
  const { session, store, read } = await longSession({ context: { maxTokens: 500 } }, dead)
  await session.agenerate('Go on')
  assert.ok(!wire()?.some((line) => line.includes('dead')))
  assert.ok((wire()?.length ?? 0) > 10)
  assert.ok(sum(read) < 2_000)
  await session.close()
  await store.close()
})

test('what a turn sends is the same as if it had read the whole branch', async () => {
  const store = sqliteStore({ path: path() })
  /** Gives all of a branch, whatever is asked for. */
  const whole = new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (name === 'readMessages') return (id: string) => target.readMessages(id)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  let state = 7
  const random = (below: number) => (state = (Math.imul(state, 48_271) >>> 0) % 2_147_483_647) % below
  for (let session = 0; session < 12; session++) {
    const id = `s${session}`
    await store.open({ id })
    await store.addMessages(id, randomTurns(id, 60 + random(300), random))
    if (session % 2 === 0) {
      const content: [{ type: 'text'; text: string }] = [{ type: 'text', text: 'They met.' }]
      await store.compact(id, { id: `sum ${id}`, role: 'summary', content }, `${id} 20`)
    }
    const place = { sessionId: id, turn: -1, replyId: '' }
    for (let wish = 0; wish < 6; wish++) {
      const context = { maxTokens: 100 + random(9_000) }
      const given = { llm: connect(), context, system: 'Be brief.', options: {} }
      const { signal } = new AbortController()
      const [some, all] = await Promise.all(
        [store, whole].map((from) => fitContext(place, { ...given, store: from, signal })),
      )
      assert.deepEqual(some, all, `${id} within ${context.maxTokens}`)
    }
  }
  await store.close()
})

test('a history that is longer than the window is refused, also where what was read fits to the token', async () => {
  await using store = sqliteStore({ path: path() })
  const given = { store, llm: connect(), system: undefined, signal: new AbortController().signal }
  // Its tokens are estimated by a factor, and rounded up: for some lengths of a prompt the parts make one more.
  const options = { model: 'claude-3-haiku' }
  for (let words = 1; words <= 5; words++) {
    const sessionId = `s${words}`
    await store.open({ id: sessionId })
    const before = Array.from({ length: 60 }, (_, at) => ({ ...said(at), id: `${sessionId} ${at}` }))
    await store.addMessages(sessionId, before)
    const content: [{ type: 'text'; text: string }] = [{ type: 'text', text: 'word '.repeat(words) }]
    const replyId = `reply ${words}`
    const messages = [{ id: `own ${words}`, role: 'user' as const, content }]
    await store.beginTurn({ sessionId, replyId, messages, writer: store.writer })
    const place = { sessionId, turn: 31, replyId }
    const history = (await store.readMessages(sessionId)).slice(0, -1) as HistoryMessage[]
    const all = totalTokens(history, undefined, options.model)
    for (let maxTokens = Math.floor(all * 0.6); maxTokens < all; maxTokens++) {
      const context = { maxTokens, onOverflow: 'error' as const }
      const code = await codeOf(fitContext(place, { ...given, context, options }))
      assert.equal(code, 'context_length_exceeded', `${words} words, ${maxTokens} of ${all}`)
    }
  }
})

/** How often the event loop goes round meanwhile. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  let isOver = false
  const next = () => {
    turns++
    if (!isOver) setImmediate(next)
  }
  setImmediate(next)
  await work()
  isOver = true
  return turns
}

test('an export is written and read in pieces, and the event loop goes round meanwhile', async () => {
  const messages = Array.from({ length: 2_000 }, (_, at) => ({
    ...said(at),
    content: [{ type: 'text', text: 'word '.repeat(200) }],
  }))
  const lines = [...exportLines({ id: 's' } as SessionRecord, messages as StoredMessage[])]
  for (const given of [lines, lines.join('')]) {
    const turns = await turnsDuring(() => parseExportLines(given))
    assert.ok(turns > 25, `${turns} times for ${typeof given}`)
  }
  const written: string[] = []
  const turns = await turnsDuring(async () => {
    for await (const line of yieldingToEventLoop(lines)) written.push(line)
  })
  assert.deepEqual(written, lines)
  assert.ok(turns > 25, `${turns} times`)
})

test('results of tools and long messages are counted in pieces, and the event loop goes round meanwhile', async () => {
  for (const history of longHistories()) {
    const counted = await turnsDuring(() => countAhead(history))
    assert.ok(counted > 25, `the event loop went round ${counted} times`)
    assert.ok(totalTokens(history, undefined, undefined) > 400_000)
  }
})

/** Questions, answers and calls of tools; some failed before they had said a word. */
function randomTurns(id: string, count: number, random: (below: number) => number): AddedMessage[] {
  let turn = 0
  return Array.from({ length: count }, (_, at): AddedMessage => {
    const kind = random(10)
    const name = { id: `${id} ${at}` }
    if (at === 0 || kind < 4) {
      const text = `${at} ${'word '.repeat(random(60))}`
      return { ...name, role: 'user', content: [{ type: 'text', text }], turn: ++turn }
    }
    if (kind < 6) return { ...name, role: 'assistant', content: [], status: 'failed', turn }
    if (kind < 7) {
      const part = { type: 'tool-result' as const, toolCallId: 'c', name: 'clock', result: 'noon' }
      return { ...name, role: 'tool', content: [part], turn }
    }
    return { ...name, role: 'assistant', content: [{ type: 'text', text: 'word '.repeat(random(60)) }], turn }
  })
}
