import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import { test } from 'vitest'
import { Limiter } from '../../src/policies/limiter.ts'
import { settled } from '../support/fake-clock.ts'

const never = new AbortController().signal

test('runs at most maxConcurrent calls at once, and the others in order of arrival', async () => {
  const limiter = new Limiter(2, 10)
  const order: number[] = []
  let running = 0
  let most = 0
  await Promise.all(
    [0, 1, 2, 3, 4, 5].map((number) =>
      limiter.execute(async () => {
        most = Math.max(most, ++running)
        order.push(number)
        await settled()
        running--
      }, never),
    ),
  )
  assert.equal(most, 2)
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5])
  assert.equal(limiter.running, 0)
})

test('a full queue refuses at once with queue_full', async () => {
  const limiter = new Limiter(1, 1)
  let open = () => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  const first = limiter.execute(() => opened, never)
  const second = limiter.execute(async () => 2, never)
  await assert.rejects(
    limiter.execute(async () => 3, never),
    (error) => isConvokeError(error) && error.code === 'queue_full' && /maxConcurrent/.test(error.message),
  )
  open()
  await first
  assert.equal(await second, 2)
})

test('an abort during the wait leaves the queue, and no slot is lost', async () => {
  const limiter = new Limiter(1, 5)
  let open = () => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  const first = limiter.execute(() => opened, never)
  const controller = new AbortController()
  const second = limiter.execute(async () => 2, controller.signal)
  controller.abort(new Error('gone'))
  await assert.rejects(second, /gone/)
  assert.equal(limiter.queued, 0)
  open()
  await first
  assert.equal(await limiter.execute(async () => 4, never), 4)
  assert.equal(limiter.running, 0)
})

test('a failure frees its slot', async () => {
  const limiter = new Limiter(1, 5)
  await assert.rejects(limiter.execute(() => Promise.reject(new Error('no')), never))
  assert.equal(limiter.running, 0)
})

test('a call that may exceed joins a full queue; a call that was aborted before runs nothing', async () => {
  const limiter = new Limiter(1, 0)
  let open = () => {}
  const first = limiter.execute(() => new Promise<void>((resolve) => (open = resolve)), never)
  const second = limiter.execute(async () => 2, never, true)
  await assert.rejects(
    limiter.execute(async () => assert.fail('ran'), AbortSignal.abort(new Error('gone'))),
    /gone/,
  )
  open()
  await first
  assert.equal(await second, 2)
})
