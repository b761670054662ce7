/** The clock of a whole call. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { TotalClock } from '../../src/policies/total-clock.ts'
import { FakeClock } from '../support/fake-clock.ts'

test('a timer that rings early does not end the call before its limit', async (context) => {
  const clock = new FakeClock(context)
  clock.earlyMs = 0.4
  const expiredAtMs: number[] = []
  const startMs = clock.nowMs
  const total = new TotalClock(120, {}, () => expiredAtMs.push(clock.nowMs - startMs))
  total.start()
  await clock.advance(200)
  assert.equal(expiredAtMs.length, 1)
  assert.ok((expiredAtMs[0] ?? 0) >= 120, `${expiredAtMs[0]} ms`)
})

test('a second attempt finds the clock running, and another LLM of the call counts from the same start', async (context) => {
  const clock = new FakeClock(context)
  const callStart = {}
  let expired = 0
  const first = new TotalClock(100, callStart, () => expired++)
  first.start()
  first.start()
  await clock.advance(60)
  first.stop()
  const second = new TotalClock(100, callStart, () => expired++)
  second.start()
  await clock.advance(39)
  assert.equal(expired, 0)
  await clock.advance(2)
  assert.equal(expired, 1)
})
