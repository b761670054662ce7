/** The circuit breaker and the limit of the rate in real calls, through the vendors' own SDKs. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { ConvokeError, isConvokeError } from 'convoke'
import type { GenerateResponse } from 'convoke'
import type { Simulator } from 'convoke/simulator'
import { test } from 'vitest'
import { Admission } from '../../src/llm/admission.ts'
import type { ChatRequest } from '../../src/provider.ts'
import { open, pause } from '../support/combinators-kit.ts'
import { failure, until } from '../conformance/stage.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

/** Long enough for a request to arrive that should not. */
const forAWhile = () => pause(80)

/** Waits until so many requests have arrived, and a while for one too many. */
async function arrive(simulator: Simulator, count: number): Promise<void> {
  const deadlineMs = performance.now() + 5_000
  while (simulator.requests.length < count && performance.now() < deadlineMs) await pause(5)
  await forAWhile()
  assert.equal(simulator.requests.length, count)
}

for (const provider of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`${provider}: five of six requests go at once, the sixth waits for the rate until it is cancelled`, async (context) => {
    const { llm, simulator } = await open(context, provider, { rateLimit: { requestsPerMinute: 5 } })
    const controller = new AbortController()
    const { signal } = controller
    const calls = [1, 2, 3, 4, 5, 6].map((number) =>
      llm.agenerate(`${number}`, number === 6 ? { signal } : {}),
    )
    const sixth = failure(calls.pop() as Promise<GenerateResponse>)
    await Promise.all(calls)
    await forAWhile()
    assert.deepEqual(llm.activity, { running: 1, queued: 0 })
    controller.abort()
    const error = await sixth
    assert.equal(error.code, 'cancelled')
    assert.equal(error.attempts, 0)
    assert.equal(error.partial?.usage.totalTokens, 0)
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
    assert.equal(getEventListeners(signal, 'abort').length, 0)
    assert.equal(simulator.requests.length, 5)
  })
}

test('a retry needs a permit too', async (context) => {
  const options = {
    rateLimit: { requestsPerMinute: 2 },
    retry: { attempts: 3, minDelayMs: 1, maxDelayMs: 2 },
  }
  const { llm, simulator } = await open(context, 'openai', options)
  simulator.failNext({ status: 503 }, 2)
  const stream = llm.stream('Hi')
  await arrive(simulator, 2)
  stream.cancel()
  assert.equal((await failure(stream.response)).attempts, 2)
})

test('the time-outs begin behind the wait for the rate, and the line in front of it is bounded', async (context) => {
  const { llm } = await open(context, 'openai', {
    rateLimit: { requestsPerMinute: 1 },
    timeouts: { totalMs: 800, firstChunkMs: 800 },
    maxConcurrent: 1,
    maxQueue: 1,
  })
  await llm.agenerate('first')
  const waits = llm.stream('holds the slot')
  const inLine = llm.stream('in line')
  await until(() => llm.activity.queued === 1, 'one waits for the slot')
  assert.equal((await failure(llm.agenerate('one too many'))).code, 'queue_full')
  await pause(900)
  for (const stream of [waits, inLine]) {
    stream.cancel()
    assert.equal((await failure(stream.response)).code, 'cancelled')
  }
})

test('closing the LLM ends the wait for the rate', async (context) => {
  const { llm } = await open(context, 'openai', { rateLimit: { requestsPerMinute: 1 } })
  await llm.agenerate('first')
  const waiting = failure(llm.agenerate('second'))
  await settled()
  await llm.close()
  assert.equal((await waiting).code, 'cancelled')
})

const usage = { inputTokens: 10, outputTokens: 20 }

test('maxTokens is reserved, and what the reply did not use is given back at its end', async (context) => {
  const options = { rateLimit: { tokensPerMinute: 1_000 }, maxTokens: 600 }
  const { llm, simulator } = await open(context, 'openai', options, {
    reply: { text: 'Hi', usage },
    latencyMs: 800,
  })
  const both = Promise.all([llm.agenerate('one'), llm.agenerate('two')])
  await arrive(simulator, 1)
  await both
  assert.equal(simulator.requests.length, 2)
})

test('without maxTokens, the output of the replies so far is expected', async (context) => {
  const { llm, simulator } = await open(
    context,
    'openai',
    { rateLimit: { tokensPerMinute: 1_000 } },
    { reply: { text: 'Hi', usage: { inputTokens: 5, outputTokens: 600 } } },
  )
  await llm.agenerate('one')
  const second = llm.stream('two')
  await forAWhile()
  assert.equal(simulator.requests.length, 1)
  second.cancel()
  await failure(second.response)
})

test('a request that was refused gives its tokens back; a stream that broke keeps what it used', async (context) => {
  const { llm, simulator } = await open(
    context,
    'openai',
    { rateLimit: { tokensPerMinute: 1_000 }, maxTokens: 600 },
    { reply: 'word '.repeat(500) },
  )
  simulator.failNext({ status: 503 })
  await failure(llm.agenerate('one'))
  simulator.failNext({ endAfter: 0.9 })
  assert.equal((await failure(llm.stream('two').response)).code, 'stream_truncated')
  assert.equal(simulator.requests.length, 2)
  const third = llm.stream('three')
  await forAWhile()
  assert.equal(simulator.requests.length, 2)
  third.cancel()
  await failure(third.response)
})

for (const provider of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`${provider}: after five failures nothing is sent, after the cool-down one request, whose success closes`, async (context) => {
    const { llm, simulator } = await open(
      context,
      provider,
      { circuitBreaker: { cooldownMs: 400 }, maxConcurrent: 20 },
      { latencyMs: 30 },
    )
    simulator.failNext({ status: 503 }, 5)
    for (let count = 0; count < 5; count++)
      assert.equal((await failure(llm.agenerate('Hi'))).code, 'overloaded')
    for (const refused of [llm.agenerate('Hi'), llm.stream('Hi').response]) {
      const error = await failure(refused)
      assert.equal(error.code, 'circuit_open')
      assert.equal(error.provider, provider)
      assert.match(error.message, /after 5 failures in a row, the last one overloaded \(status 503\)/)
      assert.ok((error.retryAfterMs ?? 0) > 0 && (error.retryAfterMs ?? 0) <= 400, `${error.retryAfterMs}`)
      assert.ok(isConvokeError(error.cause) && error.cause.status === 503)
      assert.equal(error.attempts, 0)
      assert.equal(error.partial?.usage.totalTokens, 0)
    }
    assert.equal(simulator.requests.length, 5)
    await pause(450)
    const ten = await Promise.allSettled(Array.from({ length: 10 }, () => llm.agenerate('Hi')))
    assert.equal(ten.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal(simulator.requests.length, 6)
    await Promise.all([llm.agenerate('Hi'), llm.agenerate('Hi')])
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  })
}

test('streams that break after they began open the circuit too', async (context) => {
  const { llm, simulator } = await open(context, 'openai', { circuitBreaker: { failures: 2 } })
  simulator.failNext({ endAfter: 0.5 }, 2)
  for (let count = 0; count < 2; count++) {
    assert.equal((await failure(llm.stream('Hi').response)).code, 'stream_truncated')
  }
  assert.equal((await failure(llm.stream('Hi').response)).code, 'circuit_open')
  assert.equal(simulator.requests.length, 2)
})

test('a call that meets the open circuit in its second attempt ends with circuit_open, caused by the failure', async (context) => {
  const { llm, simulator } = await open(context, 'openai', {
    circuitBreaker: { failures: 1 },
    retry: { attempts: 3, minDelayMs: 1 },
  })
  simulator.failNext({ status: 500, message: 'out of order' })
  const error = await failure(llm.agenerate('Hi'))
  assert.equal(error.code, 'circuit_open')
  assert.ok(isConvokeError(error.cause) && error.cause.code === 'server_error')
  assert.match(error.cause.message, /out of order/)
  assert.equal(error.attempts, 1)
  assert.equal(error.partial?.usage.totalTokens, 0)
  assert.equal(simulator.requests.length, 1)
})

test('those who stand in line for a slot as the circuit opens are told at the end of the line', async (context) => {
  const { llm, simulator } = await open(
    context,
    'openai',
    { circuitBreaker: { failures: 1 }, maxConcurrent: 1 },
    { latencyMs: 200 },
  )
  simulator.failNext({ status: 503 })
  const calls = [1, 2, 3].map((number) => failure(llm.agenerate(`${number}`)))
  const codes = (await Promise.all(calls)).map(({ code }) => code)
  assert.deepEqual(codes, ['overloaded', 'circuit_open', 'circuit_open'])
  assert.equal(simulator.requests.length, 1)
})

test('without the option, and with false, no circuit opens', async (context) => {
  for (const options of [{}, { circuitBreaker: false }]) {
    const { llm, simulator } = await open(context, 'openai', options)
    simulator.failNext({ status: 503 }, 8)
    for (let count = 0; count < 8; count++) await failure(llm.agenerate('Hi'))
    await llm.agenerate('Hi')
    assert.equal(simulator.requests.length, 9)
  }
})

const request = { model: 'm', messages: [] } as unknown as ChatRequest
/** Sends an attempt that does no more than `run`. */
const execute = (
  admission: Admission,
  run: () => Promise<unknown>,
  signal = new AbortController().signal,
): Promise<GenerateResponse> => {
  const send = run as () => Promise<GenerateResponse>
  return admission.execute({ request, signal, isRetry: false, run: send, spentTokens: () => 0 }, undefined)
}
const reply = { usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } } as GenerateResponse
const busy = () => Promise.reject<GenerateResponse>(new ConvokeError('overloaded', 'Busy.'))

test('while a probe is under way, others are told at once, even where they would wait for a slot', async (context) => {
  const clock = new FakeClock(context)
  const admission = new Admission({ circuitBreaker: { failures: 1 }, maxConcurrent: 1 })
  await assert.rejects(execute(admission, busy), { code: 'overloaded' })
  clock.nowMs += 30_000
  let end = () => {}
  const probe = execute(admission, () => new Promise((resolve) => (end = () => resolve(reply))))
  await settled()
  await assert.rejects(
    execute(admission, async () => reply),
    { code: 'circuit_open' },
  )
  assert.deepEqual([admission.running, admission.queued], [1, 0])
  end()
  await probe
  assert.equal(admission.running, 0)
})

test('one that waits for the rate while the circuit opens sends nothing, and takes no permit', async (context) => {
  const clock = new FakeClock(context)
  const admission = new Admission({
    rateLimit: { requestsPerMinute: 1 },
    circuitBreaker: { failures: 1, cooldownMs: 90_000 },
  })
  let failNow = () => {}
  const first = execute(admission, () => new Promise((_, reject) => (failNow = () => busy().catch(reject))))
  const waiting = execute(admission, async () => assert.fail('it was sent'))
  waiting.catch(() => {})
  await settled()
  failNow()
  await assert.rejects(first, { code: 'overloaded' })
  await clock.advance(60_000)
  await assert.rejects(waiting, { code: 'circuit_open' })
  await clock.advance(30_000)
  assert.equal(await execute(admission, async () => reply), reply)
  assert.equal(admission.running, 0)
})

test('an abort in the very moment of the permit sends nothing, and gives it back', async (context) => {
  const clock = new FakeClock(context)
  const admission = new Admission({ rateLimit: { requestsPerMinute: 1 } })
  await execute(admission, async () => reply)
  const controller = new AbortController()
  const waiting = execute(admission, async () => assert.fail('it was sent'), controller.signal)
  waiting.catch(() => {})
  await settled()
  // Set behind the timer of the line, for the same moment, and run before what follows from that.
  clock.onRing = () => controller.abort(new Error('gone'))
  await clock.advance(60_000)
  await assert.rejects(waiting, /gone/)
  assert.equal(await execute(admission, async () => reply), reply)
})
