/** Sessions whose turns meet others: of this process, of another, of one that is gone. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { createSession, sqliteStore } from 'convoke'
import type { SessionOptions } from 'convoke'
import type { Store } from 'convoke/store'
import { test } from 'vitest'
import { codeOf, connect, open, path, simulator, wire } from '../support/session-kit.ts'

const call = { toolCalls: [{ id: 'c1', name: 'clock', arguments: {} }] }
const tools = [{ name: 'clock', description: 'The time' }]

/** Two sessions of one id, as two processes have them. */
function both(options: SessionOptions = {}) {
  const store = path()
  const open = () => createSession(connect(), { id: 's', ...options, store })
  return [open(), open()] as const
}

test('a resume that waits for another turn takes nothing off the branch', async () => {
  const [one, two] = both()
  simulator.failNext({ status: 500 })
  assert.equal(await codeOf(one.agenerate('One')), 'server_error')
  const results = await Promise.all([one.resume(), one.agenerate('Two')].map(codeOf))
  assert.deepEqual(results, ['none', 'none'])
  simulator.failNext({ status: 500 })
  assert.equal(await codeOf(one.agenerate('Three')), 'server_error')
  const later = await Promise.all([one.resume(), two.resume()].map(codeOf))
  assert.deepEqual(later.sort(), ['invalid_request', 'none'])
  const texts = (await two.history()).map(({ content }) => (content[0] as { text: string }).text)
  assert.deepEqual(texts, ['One', 'You said One', 'Two', 'You said Two', 'Three', 'You said Three'])
  await Promise.all([one.close(), two.close()])
})

test('what another process clears, adds or compacts while a turn runs is what the next turn goes on from', async () => {
  const [one, two] = both()
  await one.agenerate('secret')
  await two.history()
  simulator.setReply({ text: 'slow', latencyMs: 700 })
  const running = one.agenerate('two')
  await pause(50)
  await two.clear()
  await two.add({ role: 'user', content: 'added' })
  await running
  simulator.setReply('ok')
  await one.agenerate('three')
  assert.deepEqual(wire(), ['user: addedtwo', 'assistant: slow', 'user: three'])
  simulator.setReply('A summary.')
  await two.compact({ keepRecent: 0 })
  await one.agenerate('four')
  assert.deepEqual(wire(), ['user: four'])
  await Promise.all([one.close(), two.close()])
})

test('an operation whose prompt answers a tool call is done once, and told again', async () => {
  const [one, two] = both()
  simulator.setReply(call)
  await one.agenerate('What time is it?', { tools })
  simulator.setReply('Noon.')
  const answer = { role: 'tool', toolCallId: 'c1', content: 'noon' } as const
  const first = await one.agenerate(answer, { operationId: 'a', tools })
  const again = await two.agenerate(answer, { operationId: 'a', tools })
  assert.equal(again.messageId, first.messageId)
  assert.equal(await codeOf(two.agenerate(answer, { tools })), 'invalid_request')
  assert.equal(simulator.requests.length, 2)
  await Promise.all([one.close(), two.close()])
})

test("an operation that runs is waited for, also with turns: 'fork' and 'reject'; resume keeps its id", async () => {
  for (const turns of ['fork', 'reject'] as const) {
    simulator.reset()
    simulator.setReply({ text: 'paid', latencyMs: 80 })
    const [one, two] = both({ turns })
    const replies = await Promise.all([one, two].map((s) => s.agenerate('Pay', { operationId: 'p' })))
    assert.equal(replies[0]?.messageId, replies[1]?.messageId)
    assert.equal(simulator.requests.length, 1, turns)
    simulator.failNext({ status: 500 })
    assert.equal(await codeOf(one.agenerate('Again', { operationId: 'q' })), 'server_error')
    await one.resume()
    await two.agenerate('Again', { operationId: 'q' })
    assert.equal(simulator.requests.length, 3, turns)
    await Promise.all([one.close(), two.close()])
  }
})

test("the LLM's own system prompt, buffer and time to summarise are kept", async () => {
  const llm = connect('openai', { system: 'Be kind.' })
  await using session = createSession(llm, { store: path() })
  await session.agenerate('One')
  simulator.setReply('They met.')
  await session.compact({ keepRecent: 0 })
  await session.agenerate('Two')
  assert.match(simulator.requests.at(-1)?.system ?? '', /Be kind\.[^]*They met\./)
})

test('a prompt of more than half the window goes with a summary, and an option that is wrong is told at once', async () => {
  await using session = open({ context: { maxTokens: 100, onOverflow: 'compact' } })
  simulator.setReply('ok')
  await session.agenerate('word '.repeat(40))
  await session.agenerate('word '.repeat(70))
  assert.equal(wire()?.length, 1)
  assert.throws(() => session.stream('Hi', { temprature: 1 } as object), { code: 'invalid_request' })
  assert.deepEqual(
    (await session.history()).map(({ role }) => role),
    ['summary', 'user', 'assistant'],
  )
})

test('a fork whose last turn is broken is resumed in the fork', async () => {
  await using session = open()
  await session.agenerate('One')
  simulator.failNext({ status: 500 })
  assert.equal(await codeOf(session.agenerate('Two')), 'server_error')
  const branch = await session.fork()
  await branch.resume()
  assert.deepEqual(
    [(await session.history()).at(-1)?.status, (await branch.history()).at(-1)?.status],
    ['failed', 'complete'],
  )
})

test('a stream that nobody reads holds its session no longer than its call may last', async () => {
  await using session = open()
  simulator.setReply(({ prompt }) =>
    prompt === 'Three' ? { text: 'word '.repeat(400), chunkSize: 4 } : 'A short reply.',
  )
  session.stream('One')
  await session.agenerate('Two')
  assert.deepEqual(wire(), ['user: One', 'assistant: A short reply.', 'user: Two'])
  const unread = session.stream('Three', { timeouts: { totalMs: 600 } })
  await session.agenerate('Four')
  // Asked for before, the response would have the stream read to its end.
  assert.equal(await codeOf(unread.response), 'timeout')
  const kept = (await session.history())[5]
  assert.deepEqual([kept?.status, kept?.error?.code], ['failed', 'timeout'])
  assert.match(JSON.stringify(kept?.content), /word word word/)
})

/** Another process writes right behind the beginning of a turn. */
function withAddition(store: Store, add: () => Promise<unknown>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (name !== 'beginTurn') return typeof value === 'function' ? (value.bind(target) as unknown) : value
      return async (...request: Parameters<Store['beginTurn']>) => {
        const begun = await target.beginTurn(...request)
        await add()
        return begun
      }
    },
  })
}

test('what another process adds as a turn begins is sent before the prompt of that turn', async () => {
  for (const maxTokens of [undefined, 1_000, 24]) {
    const file = path()
    await using mine = sqliteStore({ path: file })
    await using other = open({ store: file, id: 's' })
    const store = withAddition(mine, () =>
      other.add([
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: 'Hi' },
      ]),
    )
    const context = maxTokens === undefined ? {} : { maxTokens }
    const session = createSession(connect(), { store, id: 's', context })
    await session.agenerate('Where is the nearest harbour?')
    const sent = ['user: Hello', 'assistant: Hi', 'user: Where is the nearest harbour?']
    assert.deepEqual(wire(), sent, `within ${maxTokens}`)
  }
})

test('of two results that two processes bring at once neither is refused', async () => {
  const file = path()
  await using mine = sqliteStore({ path: file })
  await using other = open({ store: file, id: 's' })
  const toolCalls = ['a', 'b'].map((id) => ({ id, name: 'clock', arguments: {} }))
  simulator.setReply({ toolCalls })
  await other.agenerate('What time is it?')
  simulator.setReply('Noon.')
  // What it had looked at before it wrote was the call alone.
  const result = { type: 'tool-result' as const, toolCallId: 'b', name: 'clock', result: '12' }
  const store = withAddition(mine, () =>
    other.store.addMessages('s', [{ id: 'b', role: 'tool', content: [result] }]),
  )
  const session = createSession(connect(), { store, id: 's' })
  const { content } = await session.agenerate({ role: 'tool', toolCallId: 'a', content: '11' })
  assert.equal(content, 'Noon.')
})
