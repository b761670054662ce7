/**
 * A consensus of five members: one hangs, one gets a 429, the connection of one is reset, and two answer. Each vendor
 * plays each part. The verdict comes by the deadline, and no request stays open.
 */
import assert from 'node:assert/strict'
import { consensus } from 'convoke'
import type { Verdict } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { test } from 'vitest'
import { openLLM, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

const timeoutMs = 600
const parts = ['hangs', 'busy', 'reset', 'first', 'second'] as const

interface Run {
  verdict: Verdict
  tookMs: number
  closedMs: number
  /** The vendor of each part. */
  cast: Record<(typeof parts)[number], Vendor>
}

/** Gives each part to the next vendor in every round. */
async function run(turn: number, answers: [first: string, second: string]): Promise<Run> {
  const simulator = await startSimulator({
    reply: ({ model }) => {
      switch (model as (typeof parts)[number]) {
        case 'hangs':
          return { text: 'never heard', fault: { stallAfter: 0.5 } }
        case 'busy':
          return { fault: { status: 429, retryAfter: '1' } }
        case 'reset':
          return { fault: { reset: true } }
        case 'first':
          return answers[0]
        case 'second':
          return answers[1]
      }
    },
  })
  const cast = Object.fromEntries(
    parts.map((part, at) => [part, vendors[(at + turn) % vendors.length]]),
  ) as Run['cast']
  const llms = Object.fromEntries(
    parts.map((part) => [part, openLLM(cast[part], simulator.url, { model: part, retry: { attempts: 1 } })]),
  )
  try {
    const startedAt = performance.now()
    const verdict = await consensus(llms, 'Is 97 prime?', { quorum: 2, timeoutMs })
    const tookMs = performance.now() - startedAt
    return { verdict, tookMs, closedMs: await untilClosed(simulator), cast }
  } finally {
    await Promise.all(Object.values(llms).map((llm) => llm.close()))
    await simulator.close()
  }
}

async function untilClosed(simulator: Simulator): Promise<number> {
  const startedAt = performance.now()
  while (simulator.openStreams > 0 && performance.now() - startedAt < 5_000) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - startedAt
}

const failuresOf = ({ failures }: Verdict) =>
  Object.fromEntries(failures.map(({ member, error }) => [member, error.code]))

/** Loads the SDKs, so that their import does not use up the time before the deadline. */
test('warm up', async () => {
  for (let turn = 0; turn < vendors.length; turn++) await run(turn, ['yes', 'yes'])
})

test('two that differ: split at the deadline, every failure listed, the one that hung as timeout', async (context) => {
  const times: number[] = []
  const closes: number[] = []
  for (let turn = 0; turn < vendors.length; turn++) {
    const { verdict, tookMs, closedMs } = await run(turn, ['yes', 'no'])
    assert.equal(verdict.status, 'split')
    assert.equal(verdict.answer, 'yes')
    assert.deepEqual(failuresOf(verdict), { hangs: 'timeout', busy: 'rate_limited', reset: 'connection' })
    assert.ok(tookMs >= timeoutMs - 5 && tookMs < timeoutMs + 250, `${tookMs} ms`)
    assert.ok(closedMs < 250, `${closedMs} ms`)
    times.push(tookMs - timeoutMs)
    closes.push(closedMs)
  }
  await context.annotate(
    `behind the deadline by at most ${Math.max(...times).toFixed(0)} ms; streams closed within ${Math.max(...closes).toFixed(0)} ms`,
  )
})

test('two that agree: agreed before the deadline, as the one that hangs cannot change it', async () => {
  for (let turn = 0; turn < vendors.length; turn++) {
    const { verdict, tookMs, closedMs, cast } = await run(turn, ['yes', 'Yes.'])
    assert.equal(verdict.status, 'agreed')
    assert.equal(verdict.agreement, 2 / 3)
    assert.deepEqual(verdict.stopped, ['hangs'])
    assert.deepEqual(failuresOf(verdict), { busy: 'rate_limited', reset: 'connection' })
    assert.ok(tookMs < timeoutMs, `${tookMs} ms, ${JSON.stringify(cast)}`)
    assert.ok(closedMs < 250, `${closedMs} ms`)
  }
})
