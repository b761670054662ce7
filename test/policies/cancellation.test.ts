import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'vitest'
import { onAbort, unlessAborted } from '../../src/policies/cancellation.ts'
import { settled } from '../support/fake-clock.ts'

const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('calls the listener once with the reason, and keeps no listener afterwards', () => {
  const controller = new AbortController()
  const reasons: unknown[] = []
  onAbort(controller.signal, (reason) => reasons.push(reason))
  assert.deepEqual(reasons, [])
  assert.equal(listenersOf(controller.signal), 1)
  controller.abort('enough')
  controller.abort('again')
  assert.deepEqual(reasons, ['enough'])
  assert.equal(listenersOf(controller.signal), 0)
})

test('calls the listener at once when the signal has fired already', () => {
  const signal = AbortSignal.abort('enough')
  const reasons: unknown[] = []
  const stop = onAbort(signal, (reason) => reasons.push(reason))
  assert.deepEqual(reasons, ['enough'])
  assert.equal(listenersOf(signal), 0)
  stop()
})

test('a listener that was stopped is removed and never called', () => {
  const controller = new AbortController()
  const stop = onAbort(controller.signal, () => assert.fail('it was called'))
  stop()
  assert.equal(listenersOf(controller.signal), 0)
  controller.abort()
  stop()
})

test('stopping one listener leaves the others of the same signal', () => {
  const controller = new AbortController()
  const called: string[] = []
  const stop = onAbort(controller.signal, () => called.push('first'))
  onAbort(controller.signal, () => called.push('second'))
  stop()
  assert.equal(listenersOf(controller.signal), 1)
  controller.abort()
  assert.deepEqual(called, ['second'])
})

test('without a signal it never calls the listener', () => {
  const stop = onAbort(undefined, () => assert.fail('it was called'))
  stop()
})

test('gives the value of the work, and leaves no listener', async () => {
  const { signal } = new AbortController()
  const work = unlessAborted(signal, Promise.resolve('done'))
  assert.equal(listenersOf(signal), 1)
  assert.equal(await work, 'done')
  assert.equal(listenersOf(signal), 0)
})

test('gives the error of the work, and leaves no listener', async () => {
  const { signal } = new AbortController()
  await assert.rejects(unlessAborted(signal, Promise.reject(new Error('broken'))), /broken/)
  assert.equal(listenersOf(signal), 0)
})

test('rejects with the reason when the signal fires first, and drops what the work gives later', async () => {
  const controller = new AbortController()
  let fail = (_error: Error) => {}
  const work = new Promise<never>((_, reject) => (fail = reject))
  const result = unlessAborted(controller.signal, work)
  controller.abort(new Error('enough'))
  await assert.rejects(result, /enough/)
  assert.equal(listenersOf(controller.signal), 0)
  fail(new Error('too late'))
  await settled()
})

test('rejects at once when the signal has fired already', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(unlessAborted(signal, new Promise(() => {})), /enough/)
  assert.equal(listenersOf(signal), 0)
})
