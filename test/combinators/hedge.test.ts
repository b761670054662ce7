/** hedge, through the vendors' own SDKs against the simulator. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createSession, hedge } from 'convoke'
import type { SimulatedRequest } from 'convoke/simulator'
import { test } from 'vitest'
import { failure, member, pair, pause, read, thrown, untilClosed } from '../support/combinators-kit.ts'
import { connect, path, simulator as strict } from '../support/session-kit.ts'

test('a first LLM that answers in time is the only one asked', async (t) => {
  const { a, b } = await pair(t)
  const llm = hedge([a.llm, b.llm], { afterMs: 2_000 })
  const reply = await llm.agenerate('Hi')
  assert.deepEqual([reply.provider, reply.otherAttempts], ['openai', undefined])
  assert.equal((await read(llm.stream('Hi'))).text, 'from openai')
  assert.equal(b.simulator.requests.length, 0)
})

test('the second answers when the first is silent; the socket of the first is closed, and its cost told', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 5_000 })
  const llm = hedge([a.llm, b.llm], { afterMs: 30 })
  const reply = await llm.agenerate('Hi')
  assert.deepEqual(
    [reply.provider, reply.model, reply.content],
    ['anthropic', 'anthropic-model', 'from anthropic'],
  )
  await untilClosed(a.simulator)
  const [otherAttempts, ...others] = reply.otherAttempts ?? []
  assert.deepEqual(
    [otherAttempts?.provider, otherAttempts?.code, otherAttempts?.attempts, others.length],
    ['openai', 'cancelled', 1, 0],
  )
  assert.ok((otherAttempts?.usage.inputTokens ?? 0) > 0)
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
})

test('the first visible chunk of a stream wins, however slow the rest is', async (t) => {
  const { a, b } = await pair(
    t,
    { latencyMs: 120, paceMs: 30, reply: 'the first one speaks' },
    { latencyMs: 5_000, reply: 'never' },
  )
  const stream = hedge([a.llm, b.llm], { afterMs: 20 }).stream('Hi')
  const seen: string[] = []
  for await (const { content } of stream) {
    seen.push(content)
    if (content) assert.equal(stream.partial.provider, 'openai')
  }
  assert.equal(seen.join(''), 'the first one speaks')
  await untilClosed(b.simulator)
  const reply = await stream.response
  assert.equal(reply.content, 'the first one speaks')
  assert.deepEqual(
    reply.otherAttempts?.map(({ provider, code }) => [provider, code]),
    [['anthropic', 'cancelled']],
  )
})

test('chunks of the losers never reach the reader', async (t) => {
  const { a, b } = await pair(
    t,
    { paceMs: 3, reply: 'aaaa'.repeat(30) },
    { paceMs: 3, reply: 'bbbb'.repeat(30) },
  )
  for (let round = 0; round < 5; round++) {
    const { text } = await read(hedge([a.llm, b.llm], { afterMs: 0 }).stream(`Hi ${round}`))
    assert.match(text, /^(a{120}|b{120})$/)
  }
})

test('one that fails lets the next begin at once; when all fail it is the last error', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } })
  const llm = hedge([a.llm, b.llm], { afterMs: 3_600_000 })
  const reply = await llm.agenerate('Hi')
  assert.deepEqual([reply.provider, reply.otherAttempts?.[0]?.code], ['anthropic', 'server_error'])
  b.simulator.failNext({ status: 529 })
  const error = await failure(llm.stream('Hi').response)
  assert.deepEqual([error.code, error.attempts, error.partial?.otherAttempts?.length], ['overloaded', 2, 1])
})

test('one that fails beside another costs nothing but its entry', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 100 }, { fault: { status: 400 } })
  const reply = await hedge([a.llm, b.llm], { afterMs: 10 }).agenerate('Hi')
  assert.deepEqual([reply.provider, reply.otherAttempts?.[0]?.code], ['openai', 'invalid_request'])
})

test('a request that is wrong anywhere is not asked again', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 400 } })
  const error = await failure(hedge([a.llm, b.llm], { afterMs: 1_000 }).agenerate('Hi'))
  assert.deepEqual([error.code, b.simulator.requests.length], ['invalid_request', 0])
})

test('cancel closes the sockets of all that run', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 5_000 }, { latencyMs: 5_000 })
  const llm = hedge([a.llm, b.llm], { afterMs: 5 })
  const controller = new AbortController()
  const { signal } = controller
  const pending = failure(llm.agenerate('Hi', { signal }))
  while (a.simulator.requests.length + b.simulator.requests.length < 2) await pause(5)
  assert.equal(llm.activity.running, 2)
  controller.abort()
  const error = await pending
  assert.deepEqual([error.code, getEventListeners(signal, 'abort').length], ['cancelled', 0])
  await untilClosed(a.simulator)
  await untilClosed(b.simulator)
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
})

test('afterQuantile learns from the first LLM when to hedge', async (t) => {
  const latency = ({ prompt }: SimulatedRequest) => ({
    text: 'a',
    latencyMs: prompt === 'slow' ? 3_600_000 : 20,
  })
  const { a, b } = await pair(t, { reply: latency })
  const llm = hedge([a.llm, b.llm], { afterQuantile: 0.95 })
  await Promise.all(Array.from({ length: 20 }, (_, at) => llm.agenerate(`${at}`)))
  assert.equal(b.simulator.requests.length, 0)
  assert.equal((await llm.agenerate('slow')).provider, 'anthropic')
})

test('until it has seen enough, afterQuantile waits for afterMs', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 3_600_000 })
  const llm = hedge([a.llm, b.llm], { afterQuantile: 0.9, afterMs: 20 })
  assert.equal((await llm.agenerate('Hi')).provider, 'anthropic')
})

test('maxExtraLoad bounds what hedging sends when everything is slow', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 150 }, { latencyMs: 2_000 })
  const llm = hedge([a.llm, b.llm], { afterMs: 10, maxExtraLoad: 0.1 })
  const ask = (calls: number) => Promise.all(Array.from({ length: calls }, () => llm.agenerate('Hi')))
  assert.ok((await ask(40)).every(({ provider }) => provider === 'openai'))
  assert.equal(b.simulator.requests.length, 10)
  await ask(20)
  assert.equal(b.simulator.requests.length, 12)
  assert.equal(a.simulator.requests.length, 60)
})

test('without a time to wait it is refused', async (t) => {
  const { a, b } = await pair(t)
  const error = thrown(() => hedge([a.llm, b.llm], {}))
  assert.deepEqual([error.code, /afterMs/.test(error.message)], ['configuration', true])
  assert.equal(thrown(() => hedge([a.llm, b.llm], { afterMs: -1 })).code, 'configuration')
  assert.equal(thrown(() => hedge([a.llm, b.llm], { afterQuantile: 1 })).code, 'configuration')
  assert.equal(thrown(() => hedge([a.llm, b.llm], { afterMs: 1, maxExtraLoad: 0 })).code, 'configuration')
})

test('a session with a hedge keeps the winner alone', async (t) => {
  const a = await member(t, 'openai', { latencyMs: 5_000 })
  await using session = createSession(hedge([a.llm, connect('anthropic')], { afterMs: 10 }), {
    store: path(),
  })
  strict.setReply('quick')
  assert.equal((await session.agenerate('Hi')).content, 'quick')
  assert.equal((await read(session.stream('Hi'))).text, 'quick')
  const history = await session.history()
  assert.deepEqual(
    history.flatMap((message) => (message.role === 'assistant' ? [message.provider] : [])),
    ['anthropic', 'anthropic'],
  )
})
