import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'vitest'
import { sleep } from '../../src/policies/sleep.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

/** The longest delay that a Node timer holds, in milliseconds. */
const longestTimerMs = 2 ** 31 - 1

const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('resolves after the delay and not before, and leaves neither a timer nor a listener', async (context) => {
  const clock = new FakeClock(context)
  const { signal } = new AbortController()
  let isOver = false
  void sleep(1_000, signal).then(() => (isOver = true))
  assert.equal(listenersOf(signal), 1)
  await clock.advance(999)
  assert.equal(isOver, false)
  await clock.advance(1)
  assert.equal(isOver, true)
  assert.equal(clock.pending, 0)
  assert.equal(listenersOf(signal), 0)
})

test('waits in several steps for longer than a timer holds', async (context) => {
  const clock = new FakeClock(context)
  const { signal } = new AbortController()
  let isOver = false
  void sleep(2 * longestTimerMs + 5_000, signal).then(() => (isOver = true))
  await clock.advance(2 * longestTimerMs + 4_999)
  assert.equal(isOver, false)
  await clock.advance(1)
  assert.equal(isOver, true)
  assert.deepEqual(clock.delays, [longestTimerMs, longestTimerMs, 5_000])
  assert.equal(clock.pending, 0)
  assert.equal(listenersOf(signal), 0)
})

test('an abort in a later step ends the wait with its reason, and clears the timer', async (context) => {
  const clock = new FakeClock(context)
  const controller = new AbortController()
  const waiting = sleep(2 * longestTimerMs, controller.signal)
  waiting.catch(() => {})
  await clock.advance(longestTimerMs + 1_000)
  assert.equal(clock.pending, 1)
  controller.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  assert.equal(clock.pending, 0)
  assert.equal(listenersOf(controller.signal), 0)
})

test('a signal that has fired already ends the wait at once', async (context) => {
  const clock = new FakeClock(context)
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(sleep(1_000, signal), /enough/)
  await settled()
  assert.equal(clock.pending, 0)
  assert.equal(listenersOf(signal), 0)
})
