/** fallback, through the vendors' own SDKs against the simulator. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createSession, fallback, fallbackCodes } from 'convoke'
import type { SimulatedRequest } from 'convoke/simulator'
import { test } from 'vitest'
import { failure, member, pair, pause, read, untilClosed } from '../support/combinators-kit.ts'
import { connect, path, simulator as strict } from '../support/session-kit.ts'

test('the second LLM answers when the first fails, with its own name, cost and usage, and what the first took', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } })
  const llm = fallback([a.llm, b.llm])
  const reply = await llm.agenerate('Hi')
  assert.deepEqual(
    [reply.content, reply.provider, reply.model],
    ['from anthropic', 'anthropic', 'anthropic-model'],
  )
  assert.equal(reply.usage.source, 'provider')
  assert.equal(reply.timing.attempts, 1)
  assert.deepEqual(
    reply.otherAttempts?.map(({ provider, model, code, attempts, usage }) => [
      provider,
      model,
      code,
      attempts,
      usage.totalTokens,
    ]),
    [['openai', 'openai-model', 'server_error', 1, 0]],
  )
  assert.deepEqual([a.simulator.requests.length, b.simulator.requests.length], [1, 1])
})

test('a first LLM that answers is the only one asked', async (t) => {
  const { a, b } = await pair(t)
  const reply = await fallback([a.llm, b.llm]).agenerate('Hi')
  assert.deepEqual([reply.content, reply.otherAttempts], ['from openai', undefined])
  const { signal } = new AbortController()
  await fallback([a.llm, b.llm]).stream('Hi', { signal }).response
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  assert.equal(b.simulator.requests.length, 0)
})

for (const [fault, code] of [
  [{ status: 401 }, 'authentication'],
  [{ status: 403 }, 'permission'],
  [{ status: 404 }, 'model_not_found'],
  [{ status: 503 }, 'overloaded'],
  [{ reset: true }, 'connection'],
  [{ endAfter: 0.5 }, 'stream_truncated'],
] as const) {
  test(`a stream goes on with the next LLM after ${code}`, async (t) => {
    // Of a stream that is cut, nothing may have been visible.
    const reply = code === 'stream_truncated' ? { text: '' } : 'from openai'
    const { a, b } = await pair(t, { fault, reply })
    const { types, text } = await read(fallback([a.llm, b.llm]).stream('Hi'))
    assert.deepEqual([types, text], [['start', 'text', 'finish'], 'from anthropic'])
    assert.equal(fallbackCodes.includes(code), true)
  })
}

test('a request that is wrong anywhere is not asked again', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 400 } })
  assert.equal((await failure(fallback([a.llm, b.llm]).agenerate('Hi'))).code, 'invalid_request')
  assert.equal((await failure(fallback([a.llm, b.llm]).agenerate(''))).code, 'invalid_request')
  assert.equal(b.simulator.requests.length, 0)
})

test('`on` says after which errors: by codes, or by a function', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 400 } })
  const more = fallback([a.llm, b.llm], { on: [...fallbackCodes, 'invalid_request'] })
  assert.equal((await more.agenerate('Hi')).content, 'from anthropic')
  const byStatus = fallback([a.llm, b.llm], { on: ({ status }) => status === 400 })
  assert.equal((await byStatus.agenerate('Hi')).content, 'from anthropic')
  assert.equal((await failure(fallback([a.llm, b.llm], { on: [] }).agenerate('Hi'))).status, 400)
  const broken = fallback([a.llm, b.llm], {
    on: () => {
      throw new TypeError('a bug')
    },
  })
  const error = await failure(broken.agenerate('Hi'))
  assert.deepEqual([error.code, /a bug/.test(error.message)], ['configuration', true])
})

test('after visible output the error is told, with what had come', async (t) => {
  const { a, b } = await pair(t, { fault: { cutAfter: 0.6 }, reply: 'twelve small pieces of a text' })
  const stream = fallback([a.llm, b.llm]).stream('Hi')
  const error = await failure(read(stream))
  assert.equal(error.provider, 'openai')
  assert.match(error.partial?.content ?? '', /^twelve/)
  assert.equal(b.simulator.requests.length, 0)
})

test("with replay: 'restart' a reset chunk voids what was visible, and the next begins", async (t) => {
  const { a, b } = await pair(t, { fault: { cutAfter: 0.6 }, reply: 'twelve small pieces of a text' })
  for (const [llm, options] of [
    [fallback([a.llm, b.llm], { replay: 'restart' }), {}],
    [fallback([a.llm, b.llm]), { retry: { replay: 'restart' } }],
  ] as const) {
    const stream = llm.stream('Hi', options)
    const { types, text } = await read(stream)
    assert.deepEqual([types, text], [['start', 'text', 'reset', 'start', 'text', 'finish'], 'from anthropic'])
    const reply = await stream.response
    assert.equal(reply.content, text)
    assert.ok((reply.otherAttempts?.[0]?.usage.outputTokens ?? 0) > 0)
  }
})

test("a call with replay: 'never' asks the first LLM alone", async (t) => {
  const { a, b } = await pair(t, { fault: { status: 503 } })
  const error = await failure(fallback([a.llm, b.llm]).agenerate('Hi', { retry: { replay: 'never' } }))
  assert.deepEqual([error.code, b.simulator.requests.length], ['overloaded', 0])
})

test('when all fail, the last error tells of those before it', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } }, { fault: { status: 529 } })
  const error = await failure(fallback([a.llm, b.llm]).agenerate('Hi'))
  assert.deepEqual([error.code, error.provider, error.attempts], ['overloaded', 'anthropic', 2])
  assert.match(error.message, /Before it failed: openai \(server_error\)\.$/)
  assert.deepEqual(
    error.partial?.otherAttempts?.map(({ code }) => code),
    ['server_error'],
  )
})

test("an LLM's own retries come first, but a wait that its vendor asks for goes to the next", async (t) => {
  const retry = { attempts: 2, minDelayMs: 1, maxDelayMs: 2_000 }
  const a = await member(t, 'openai', { fault: { status: 500 } }, { retry })
  const b = await member(t, 'anthropic')
  await fallback([a.llm, b.llm]).agenerate('Hi')
  assert.equal(a.simulator.requests.length, 2)
  a.simulator.reset()
  const slow = await member(t, 'openai', { fault: { status: 503, retryAfter: 1 } }, { retry })
  await fallback([slow.llm, b.llm]).agenerate('Hi')
  assert.equal(slow.simulator.requests.length, 1)
})

test("a call's totalMs is for all together, an LLM's own for that LLM", async (t) => {
  const { b } = await pair(t)
  const slow = await member(t, 'openai', { latencyMs: 3_600_000 }, { timeouts: { totalMs: 60 } })
  assert.equal((await fallback([slow.llm, b.llm]).agenerate('Hi')).content, 'from anthropic')
  const error = await failure(fallback([slow.llm, b.llm]).agenerate('Hi', { timeouts: { totalMs: 120 } }))
  assert.deepEqual([error.code, error.phase, error.provider], ['timeout', 'total', 'openai'])
  assert.equal(b.simulator.requests.length, 1)
})

test('what is left of totalMs is all that the next LLM has', async (t) => {
  const a = await member(t, 'openai', { latencyMs: 1_000, fault: { status: 500 } })
  // Less than totalMs, and more than is left of it.
  const b = await member(t, 'anthropic', { latencyMs: 1_500 })
  const error = await failure(fallback([a.llm, b.llm]).agenerate('Hi', { timeouts: { totalMs: 2_000 } }))
  assert.deepEqual([error.code, error.provider], ['timeout', 'anthropic'])
})

const slowly = ({ stream }: SimulatedRequest) => ({ text: 'x'.repeat(2_000), latencyMs: stream ? 0 : 5_000 })

test('cancel, signal and leaving the loop close the socket of who answers, and free its slot', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } }, { paceMs: 20, reply: slowly })
  const llm = fallback([a.llm, b.llm])
  for await (const chunk of llm.stream('Hi')) if (chunk.type === 'text') break
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  await untilClosed(b.simulator)

  const controller = new AbortController()
  const plain = failure(llm.agenerate('Hi', { signal: controller.signal }))
  await pause(60)
  assert.equal(llm.activity.running, 1)
  controller.abort(new Error('enough'))
  const error = await plain
  assert.deepEqual([error.code, error.partial?.finishReason], ['cancelled', 'cancelled'])
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  await untilClosed(b.simulator)

  const stream = llm.stream('Hi')
  stream.cancel('no more')
  assert.equal((await failure(stream.response)).code, 'cancelled')
  assert.equal((await failure(llm.agenerate('Hi', { signal: AbortSignal.abort() }))).code, 'cancelled')
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
})

test('a session keeps what answered, and sends each vendor its own reasoning back', async (t) => {
  strict.setReply({ text: 'Nine.', reasoning: 'three times three', signature: 'proof' })
  const a = await member(t, 'openai', { fault: { status: 500 } })
  const llm = fallback([a.llm, connect('anthropic')])
  await using session = createSession(llm, { store: path() })
  const first = await session.agenerate('3 × 3?')
  assert.deepEqual([first.provider, first.content], ['anthropic', 'Nine.'])
  const { text } = await read(session.stream('And again?'))
  assert.equal(text, 'Nine.')
  const body = JSON.stringify(strict.requests.at(-1)?.body)
  assert.match(body, /three times three/)
  assert.match(body, /proof/)
  assert.doesNotMatch(JSON.stringify(a.simulator.requests.at(-1)?.body), /three times three/)
  assert.deepEqual(
    (await session.history()).map(({ role }) => role),
    ['user', 'assistant', 'user', 'assistant'],
  )
})

test('a session keeps nothing of what a reset voided', async (t) => {
  const a = await member(t, 'openai', { fault: { cutAfter: 0.6 }, reply: 'twelve small pieces of a text' })
  strict.setReply('whole')
  await using session = createSession(fallback([a.llm, connect('anthropic')], { replay: 'restart' }), {
    store: path(),
  })
  const { types, text } = await read(session.stream('Hi'))
  assert.deepEqual([types.includes('reset'), text], [true, 'whole'])
  const reply = (await session.history()).at(-1)
  assert.deepEqual(reply?.content, [{ type: 'text', text: 'whole' }])
})
