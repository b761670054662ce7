import assert from 'node:assert/strict'
import { ConvokeError } from 'convoke'
import { test } from 'vitest'
import { RetryBudget } from '../../src/policies/retry-budget.ts'
import { retry } from '../../src/policies/retry.ts'
import { FakeClock } from '../support/fake-clock.ts'

function failure(options: ConstructorParameters<typeof ConvokeError>[2] = {}) {
  return new ConvokeError('overloaded', 'Busy.', options)
}

const never = new AbortController().signal

function settings(over: Partial<Parameters<typeof retry>[1]> = {}): Parameters<typeof retry>[1] {
  return {
    attempts: 3,
    minDelayMs: 1,
    maxDelayMs: 50,
    budget: new RetryBudget(),
    mayRetry: () => true,
    onRetry: () => {},
    ...over,
  }
}

test('tries again until it succeeds', async () => {
  const seen: number[] = []
  const result = await retry(
    async (attempt) => {
      seen.push(attempt)
      if (attempt < 3) throw failure()
      return 'ok'
    },
    settings(),
    never,
  )
  assert.equal(result, 'ok')
  assert.deepEqual(seen, [1, 2, 3])
})

test('gives up after the attempts, with the last error', async () => {
  let attempts = 0
  const last = await retry(
    async () => Promise.reject(failure({ status: 500 + ++attempts })),
    settings(),
    never,
  ).catch((error) => error)
  assert.equal(attempts, 3)
  assert.equal(last.status, 503)
})

test('does not retry an error that is not retryable', async () => {
  let attempts = 0
  await assert.rejects(
    retry(
      async () => {
        attempts++
        throw new ConvokeError('authentication', 'No.')
      },
      settings(),
      never,
    ),
  )
  assert.equal(attempts, 1)
})

for (const asked of [0, 20, 45]) {
  test(`waits at least the ${asked} ms that the server asked for, and at most a fifth longer`, async (context) => {
    const clock = new FakeClock(context)
    const startedAtMs = clock.nowMs
    let waitedMs = 0
    const done = retry(
      async (attempt) => {
        waitedMs = clock.nowMs - startedAtMs
        if (attempt === 1) throw failure({ retryAfterMs: asked })
      },
      settings(),
      never,
    )
    await clock.advance(100)
    await done
    assert.ok(waitedMs >= asked, `waited ${waitedMs}`)
    assert.ok(waitedMs <= asked * 1.2 + 1, `waited ${waitedMs}`)
  })
}

test('fails at once, and names the wait, when the server asks for longer than maxDelayMs', async () => {
  let attempts = 0
  await assert.rejects(
    retry(
      async () => {
        attempts++
        throw failure({ retryAfterMs: 90_000 })
      },
      settings({ maxDelayMs: 60_000 }),
      never,
    ),
    /asks to wait 90 s, longer than maxDelayMs 60000/,
  )
  assert.equal(attempts, 1)
})

for (const minDelayMs of [2 ** 31, 1e11]) {
  test(`a back-off of up to ${minDelayMs} ms, longer than a timer holds, does not end at once`, async () => {
    const controller = new AbortController()
    const asked = settings({ minDelayMs, maxDelayMs: Infinity })
    const waiting = retry(
      async () => Promise.reject(failure({ retryAfterMs: minDelayMs })),
      asked,
      controller.signal,
    )
    setTimeout(() => controller.abort(new Error('still waiting')), 50)
    await assert.rejects(waiting, /still waiting/)
  })
}

test('an abort ends the wait at once, with its reason', async () => {
  const controller = new AbortController()
  const waiting = retry(
    async () => Promise.reject(failure({ retryAfterMs: 40_000 })),
    settings({ maxDelayMs: 60_000 }),
    controller.signal,
  )
  setTimeout(() => controller.abort(new ConvokeError('cancelled', 'Enough.')), 5)
  await assert.rejects(waiting, /Enough/)
})

test('a storm of failures spends the budget, and then no call retries', async () => {
  const budget = new RetryBudget()
  let sent = 0
  const calls = Array.from({ length: 1_000 }, () =>
    retry(
      async () => {
        sent++
        throw failure()
      },
      settings({ budget }),
      never,
    ).catch(() => {}),
  )
  await Promise.all(calls)
  assert.ok(sent >= 1_010 && sent <= 1_100, `${sent} requests`)
})
