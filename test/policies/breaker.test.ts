import assert from 'node:assert/strict'
import { ConvokeError, isConvokeError } from 'convoke'
import type { ErrorCode, GenerateResponse } from 'convoke'
import type { ConvokeErrorOptions } from 'convoke/provider'
import { test, vi } from 'vitest'
import { Breaker } from '../../src/policies/breaker.ts'
import { FakeClock } from '../support/fake-clock.ts'

const busy = () => new ConvokeError('overloaded', 'Busy.', { provider: 'acme', status: 503 })

async function fail(breaker: Breaker, error: Error = busy()): Promise<void> {
  await assert.rejects(
    breaker.execute(() => Promise.reject(error)),
    error,
  )
}

async function failTimes(breaker: Breaker, times: number): Promise<void> {
  for (let count = 0; count < times; count++) await fail(breaker)
}

/** The error of an attempt that the breaker must refuse. */
async function refused(breaker: Breaker): Promise<ConvokeError> {
  const error: unknown = await breaker
    .execute(async () => assert.fail('it was sent'))
    .catch((reason: unknown) => reason)
  assert.ok(isConvokeError(error) && error.code === 'circuit_open', String(error))
  assert.throws(() => breaker.check(), { code: 'circuit_open' })
  return error
}

async function isClosed(breaker: Breaker): Promise<boolean> {
  const both = [breaker.execute(async () => 'ok'), breaker.execute(async () => 'ok')]
  return (await Promise.allSettled(both)).every(({ status }) => status === 'fulfilled')
}

/** An attempt that the test ends. */
function attempt(breaker: Breaker) {
  let succeed = () => {}
  let failWith = (_error: Error) => {}
  const ended = breaker.execute(
    () =>
      new Promise<string>((resolve, reject) => {
        succeed = () => resolve('ok')
        failWith = reject
      }),
  )
  ended.catch(() => {})
  return {
    succeed: () => {
      succeed()
      return ended
    },
    fail: async (error: Error = busy()) => {
      failWith(error)
      await ended.catch(() => {})
    },
  }
}

test('opens after several failures in a row, and says what failed and when it sends again', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker()
  await failTimes(breaker, 4)
  breaker.check()
  await fail(breaker)
  clock.nowMs += 12_345.6
  const error = await refused(breaker)
  assert.equal(
    error.message,
    'The circuit is open after 5 failures in a row, the last one overloaded (status 503). Nothing is sent for another 18 s.',
  )
  assert.equal(error.retryAfterMs, 17_655)
  assert.equal(error.isRetryable, false)
  const { cause } = error
  assert.ok(isConvokeError(cause))
  assert.deepEqual(
    [cause.code, cause.status, cause.provider, cause.message],
    ['overloaded', 503, 'acme', '[acme] Busy.'],
  )
})

test('a success between failures restarts the count', async () => {
  const breaker = new Breaker({ failures: 2 })
  await fail(breaker)
  await breaker.execute(async () => 'ok')
  await fail(breaker)
  assert.ok(await isClosed(breaker))
})

for (const [code, options = {}] of [
  ['connection'],
  ['overloaded'],
  ['server_error', { status: 500 }],
  ['stream_truncated'],
  ['malformed_response'],
  ['timeout', { phase: 'connect' }],
  ['timeout', { phase: 'firstChunk' }],
  ['timeout', { phase: 'idle' }],
  ['timeout', { phase: 'server', status: 408 }],
] as [ErrorCode, ConvokeErrorOptions?][]) {
  test(`${code} ${options.phase ?? ''} counts as a failure`, async () => {
    const breaker = new Breaker({ failures: 1 })
    await fail(breaker, new ConvokeError(code, 'No.', options))
    await refused(breaker)
  })
}

/** Errors that are no failures; the last column says whether the vendor answered, which closes the circuit after a probe. */
const others: [ErrorCode, ConvokeErrorOptions, boolean][] = [
  ['rate_limited', { status: 429 }, true],
  ['rate_limited', {}, true],
  ['invalid_request', { status: 400 }, true],
  ['authentication', { status: 401 }, true],
  ['permission', { status: 403 }, true],
  ['model_not_found', { status: 404 }, true],
  ['context_length_exceeded', { status: 400 }, true],
  ['content_filtered', {}, true],
  ['invalid_output', {}, true],
  ['budget_exceeded', {}, true],
  ['invalid_request', {}, false],
  ['cancelled', {}, false],
  ['configuration', {}, false],
  ['queue_full', {}, false],
  ['timeout', { phase: 'total' }, false],
]
for (const [code, options, isAnswer] of others) {
  const name = `${code} ${options.status ?? options.phase ?? ''}`
  test(`${name} does not count as a failure`, async () => {
    const breaker = new Breaker({ failures: 1 })
    await fail(breaker, new ConvokeError(code, 'No.', options))
    assert.ok(await isClosed(breaker))
  })

  test(`a probe that ends with ${name} ${isAnswer ? 'closes' : 'lets the next attempt probe at once'}`, async (context) => {
    const clock = new FakeClock(context)
    const breaker = new Breaker({ failures: 1 })
    await fail(breaker)
    clock.nowMs += 30_000
    await fail(breaker, new ConvokeError(code, 'No.', options))
    if (isAnswer) return assert.ok(await isClosed(breaker))
    const next = attempt(breaker)
    await refused(breaker)
    await next.succeed()
    assert.ok(await isClosed(breaker))
  })
}

test('a refusal does not end a row of failures; a whole reply that does not fit its schema does', async () => {
  const breaker = new Breaker({ failures: 2 })
  await fail(breaker)
  await fail(breaker, new ConvokeError('invalid_output', 'No.'))
  await fail(breaker)
  await fail(breaker, new ConvokeError('rate_limited', 'No.', { status: 429 }))
  await fail(breaker)
  await refused(breaker)
})

test('an error that is no ConvokeError counts neither way', async () => {
  const breaker = new Breaker({ failures: 1 })
  await fail(breaker, new TypeError('a bug'))
  assert.ok(await isClosed(breaker))
})

test('after the cool-down exactly one attempt probes, and its success closes the circuit', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker()
  await failTimes(breaker, 5)
  clock.nowMs += 29_999
  await refused(breaker)
  clock.nowMs += 1
  breaker.check()
  breaker.check()
  const probe = attempt(breaker)
  for (let count = 0; count < 10; count++) {
    const error = await refused(breaker)
    assert.match(
      error.message,
      /One request is testing the vendor now; nothing else is sent until it ends\.$/,
    )
    assert.equal(error.retryAfterMs, 30_000)
  }
  await probe.succeed()
  await failTimes(breaker, 4)
  assert.ok(await isClosed(breaker))
})

test('a probe that fails keeps the circuit open for another cool-down', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker()
  await failTimes(breaker, 5)
  clock.nowMs += 30_000
  const probe = attempt(breaker)
  clock.nowMs += 10_000
  await probe.fail(new ConvokeError('connection', 'Refused.'))
  clock.nowMs += 29_999
  assert.match(
    (await refused(breaker)).message,
    /after 6 failures in a row, the last one connection\. .* another 1 s/,
  )
  clock.nowMs += 1
  await breaker.execute(async () => 'ok')
  assert.ok(await isClosed(breaker))
})

test('failures of attempts that began before the circuit opened do not prolong it', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker({ failures: 2 })
  const late = [attempt(breaker), attempt(breaker)]
  await failTimes(breaker, 2)
  clock.nowMs += 20_000
  await late[0]?.fail()
  assert.equal((await refused(breaker)).retryAfterMs, 10_000)
  clock.nowMs += 10_000
  const probe = attempt(breaker)
  await late[1]?.fail()
  clock.nowMs += 30_000
  await refused(breaker)
  await probe.succeed()
  assert.ok(await isClosed(breaker))
})

test('a success of an attempt that began before the circuit opened neither closes it nor allows another probe', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker({ failures: 1 })
  const late = [attempt(breaker), attempt(breaker), attempt(breaker)]
  await fail(breaker)
  await late[0]?.succeed()
  await refused(breaker)
  clock.nowMs += 30_000
  const probe = attempt(breaker)
  await late[1]?.succeed()
  await refused(breaker)
  await late[2]?.fail(new ConvokeError('cancelled', 'Enough.'))
  await refused(breaker)
  await probe.succeed()
})

test('failures from before do not count once the circuit is closed again', async (context) => {
  const clock = new FakeClock(context)
  const breaker = new Breaker({ failures: 2 })
  const late = [attempt(breaker), attempt(breaker)]
  await failTimes(breaker, 2)
  clock.nowMs += 30_000
  await breaker.execute(async () => 'ok')
  for (const { fail: failLate } of late) await failLate()
  assert.ok(await isClosed(breaker))
})

test('a second probe joins one that hangs after a minute, and the success of either closes the circuit', async (context) => {
  for (const first of [true, false]) {
    const clock = new FakeClock(context)
    const breaker = new Breaker({ failures: 1, cooldownMs: 1_000 })
    await fail(breaker)
    clock.nowMs += 1_000
    const slow = attempt(breaker)
    clock.nowMs += 59_999
    await refused(breaker)
    clock.nowMs += 1
    const second = attempt(breaker)
    await refused(breaker)
    await (first ? slow : second).succeed()
    assert.ok(await isClosed(breaker))
    await (first ? second : slow).fail()
    assert.ok(await isClosed(breaker))
  }
})

test('a change of the wall clock has no effect', async () => {
  const breaker = new Breaker({ failures: 1 })
  await fail(breaker)
  vi.spyOn(Date, 'now').mockImplementation(() => 8.64e15)
  await refused(breaker)
})

test('the failure that other callers see holds nothing of the partial response', async () => {
  const breaker = new Breaker({ failures: 1 })
  const partial = { content: 'for one reader only' } as GenerateResponse
  await fail(breaker, new ConvokeError('stream_truncated', 'Cut.', { partial }))
  const { cause } = await refused(breaker)
  assert.ok(isConvokeError(cause))
  assert.equal(cause.partial, undefined)
})
