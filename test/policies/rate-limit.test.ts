import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'vitest'
import { RateLimit } from '../../src/policies/rate-limit.ts'
import type { Permit } from '../../src/policies/rate-limit.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

const never = new AbortController().signal

test('lets as many requests through as allowed, and each further one when an older one is a minute old', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ requestsPerMinute: 3 })
  const begun: number[] = []
  const ask = () => limit.acquire(0, never).then(() => begun.push(clock.nowMs))
  await ask()
  await clock.advance(10_000)
  for (let count = 0; count < 4; count++) void ask()
  await settled()
  assert.deepEqual(begun, [5_000, 15_000, 15_000])
  await clock.advance(49_999)
  assert.equal(begun.length, 3)
  await clock.advance(1)
  assert.deepEqual(begun.slice(3), [65_000])
  await clock.advance(10_000)
  assert.deepEqual(begun.slice(4), [75_000])
  assert.equal(clock.pending, 0)
})

test('starts a request when the window allows and not before: one timer, set again if it fires early', async (context) => {
  const clock = new FakeClock(context)
  clock.earlyMs = 1
  const limit = new RateLimit({ requestsPerMinute: 1 })
  await limit.acquire(0, never)
  let begunAtMs = 0
  void limit.acquire(0, never).then(() => (begunAtMs = clock.nowMs))
  await clock.advance(70_000)
  assert.ok(begunAtMs >= 65_000 && begunAtMs < 65_001, `begun at ${begunAtMs}`)
  assert.equal(clock.delays[0], 60_000)
  assert.ok(clock.delays.length <= 3, `${clock.delays.length} timers`)
})

test('no minute holds more requests or tokens than allowed, whenever they are asked for', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ requestsPerMinute: 20, tokensPerMinute: 1_000 })
  const begun: { number: number; atMs: number; tokens: number }[] = []
  let seed = 7
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
  for (let number = 0; number < 1_500; number++) {
    const tokens = random(number % 200 < 100 ? 30 : 200)
    void limit.acquire(tokens, never).then(() => begun.push({ number, atMs: clock.nowMs, tokens }))
    // Makes bursts, and pauses that are longer than the window.
    if (random(40) === 0) await clock.advance(random(90_000))
  }
  await clock.advance(60_000 * 400)
  assert.equal(begun.length, 1_500)
  assert.ok(begun.every(({ number }, at) => number === at, 'in order'))
  for (const [at, { atMs }] of begun.entries()) {
    const minute = begun.slice(at, at + 25).filter((other) => other.atMs < atMs + 60_000)
    assert.ok(minute.length <= 20, `${minute.length} requests`)
    const spent = minute.reduce((sum, { tokens }) => sum + tokens, 0)
    assert.ok(spent <= 1_000, `${spent} tokens`)
  }
})

test('a small request does not overtake a large one', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 100 })
  const order: string[] = []
  await limit.acquire(60, never)
  void limit.acquire(50, never).then(() => order.push('large'))
  void limit.acquire(1, never).then(() => order.push('small'))
  await clock.advance(59_999)
  assert.deepEqual(order, [])
  await clock.advance(1)
  assert.deepEqual(order, ['large', 'small'])
})

test('an abort leaves the queue at once, without a listener, and the next request starts', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 100 })
  await limit.acquire(60, never)
  const controller = new AbortController()
  const { signal } = controller
  const large = limit.acquire(90, signal)
  let hasBegun = false
  const small = limit.acquire(30, never).then(() => (hasBegun = true))
  await settled()
  assert.equal(getEventListeners(signal, 'abort').length, 1)
  assert.equal(hasBegun, false)
  controller.abort(new Error('gone'))
  await assert.rejects(large, /gone/)
  await small
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  assert.equal(clock.pending, 0)
  await assert.rejects(limit.acquire(1, signal), /gone/)
})

test('a request that was let through leaves no listener either', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ requestsPerMinute: 1 })
  await limit.acquire(0, never)
  const { signal } = new AbortController()
  const waiting = limit.acquire(0, signal)
  await clock.advance(60_000)
  await waiting
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('no timer runs while no request waits', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ requestsPerMinute: 1 })
  const controller = new AbortController()
  await limit.acquire(0, never)
  const waiting = [limit.acquire(0, controller.signal), limit.acquire(0, controller.signal)]
  assert.equal(clock.pending, 1)
  controller.abort(new Error('gone'))
  await Promise.allSettled(waiting)
  assert.equal(clock.pending, 0)
})

test('a request that is larger than the limit starts when the window holds no tokens', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 100 })
  const begun: number[] = []
  for (const tokens of [0, 500, 1, 500, 1])
    void limit.acquire(tokens, never).then(() => begun.push(clock.nowMs))
  await clock.advance(200_000)
  assert.deepEqual(begun, [5_000, 5_000, 65_000, 125_000, 185_000])
})

test('tokens that were reserved but not spent go to waiting requests at once', async () => {
  const limit = new RateLimit({ tokensPerMinute: 100 })
  const first = await limit.acquire(90, never)
  let begun = 0
  for (const tokens of [50, 40]) void limit.acquire(tokens, never).then(() => begun++)
  await settled()
  assert.equal(begun, 0)
  first.settle(10)
  await settled()
  assert.equal(begun, 2)
  const controller = new AbortController()
  const third = limit.acquire(1, controller.signal)
  assert.equal(await Promise.race([third, settled()]), undefined)
  controller.abort(new Error('gone'))
  await assert.rejects(third, /gone/)
})

test('tokens spent beyond the reservation count for a minute from the moment they are known', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 100 })
  const begun: number[] = []
  const long = await limit.acquire(10, never)
  await clock.advance(90_000)
  long.settle(110)
  void limit.acquire(1, never).then(() => begun.push(clock.nowMs))
  await clock.advance(59_999)
  assert.deepEqual(begun, [])
  await clock.advance(1)
  assert.deepEqual(begun, [155_000])
})

test('a correction that comes after its minute gives nothing back a second time', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 100 })
  const long = await limit.acquire(100, never)
  await clock.advance(60_000)
  await limit.acquire(100, never)
  long.settle(0)
  let hasBegun = false
  void limit.acquire(1, never).then(() => (hasBegun = true))
  await clock.advance(59_999)
  assert.equal(hasBegun, false)
  await clock.advance(1)
  assert.equal(hasBegun, true)
})

test('a permit that is given back counts neither as a request nor with its tokens', async () => {
  const limit = new RateLimit({ requestsPerMinute: 1, tokensPerMinute: 10 })
  const first = await limit.acquire(10, never)
  const second = limit.acquire(10, never)
  first.giveBack()
  const third = limit.acquire(10, never)
  const permit: Permit = await second
  permit.giveBack()
  await third
})

test('a limit of requests alone ignores tokens', async () => {
  const limit = new RateLimit({ requestsPerMinute: 2 })
  const first = await limit.acquire(0, never)
  first.settle(1_000_000)
  await limit.acquire(1_000_000, never)
})

test('no timer is set to a longer delay than a timer holds', async (context) => {
  const clock = new FakeClock(context)
  const windowMs = 5_000_000_000
  const limit = new RateLimit({ requestsPerMinute: 1 }, windowMs)
  await limit.acquire(0, never)
  let hasBegun = false
  void limit.acquire(0, never).then(() => (hasBegun = true))
  await clock.advance(windowMs - 1)
  assert.equal(hasBegun, false)
  await clock.advance(1)
  assert.equal(hasBegun, true)
  assert.ok(clock.delays.every((delayMs) => delayMs <= 2_147_483_647))
})

test('the log holds no more than the window, even while an old permit is not settled', async (context) => {
  const clock = new FakeClock(context)
  const limit = new RateLimit({ tokensPerMinute: 1_000_000_000 })
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const old = await limit.acquire(1, never)
  collect()
  const before = process.memoryUsage().heapUsed
  for (let count = 0; count < 200_000; count++) {
    clock.nowMs += 60
    const permit = await limit.acquire(1, never)
    permit.settle(2)
  }
  collect()
  const grownBytes = process.memoryUsage().heapUsed - before
  old.settle(1)
  assert.ok(grownBytes < 4_000_000, `${grownBytes} bytes for a window of 1,000 requests`)
})
