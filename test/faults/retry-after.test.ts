/** The wait that a vendor asks for, by the vendor's own watch. */
import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, RequestRecord, Simulator } from 'convoke/simulator'
import { openLLM, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

/** What timers, sockets and both ends' own work may add to any wait. */
const allowanceMs = 60
/** First back-off where the vendor asks for nothing. */
const minDelayMs = 500
const hourMs = 3_600_000

interface Ask {
  name: string
  headers: () => Record<string, string>
  /** Shortest and longest wait; both undefined for the ordinary back-off. */
  fromMs?: number
  toMs?: number
}

const httpDate = (ms: number) => new Date(ms).toUTCString()
const longest = (ms: number) => ms * 1.2 + allowanceMs
/**
 * A date of whole seconds, 2 to 3 s ahead of the server's clock: the wait may not end before the date that was sent,
 * and a client that reckons from the server's own `date` (whole seconds too) may wait up to a second longer.
 */
const dated = (name: string, skewMs: number, tellsDate: boolean): Ask => ({
  name,
  headers: () => {
    const nowMs = Date.now() + skewMs
    return {
      'retry-after': httpDate(Math.ceil(nowMs / 1_000) * 1_000 + 2_000),
      ...(tellsDate ? { date: httpDate(nowMs) } : {}),
    }
  },
  fromMs: 2_000,
  toMs: longest(3_000) + 1_000,
})

const asks: readonly Ask[] = [
  { name: '2 s', headers: () => ({ 'retry-after': '2' }), fromMs: 2_000, toMs: longest(2_000) },
  { name: '1.5 s', headers: () => ({ 'retry-after': '1.5' }), fromMs: 1_500, toMs: longest(1_500) },
  { name: '700 ms', headers: () => ({ 'retry-after-ms': '700' }), fromMs: 700, toMs: longest(700) },
  {
    name: '700 ms over 9 s',
    headers: () => ({ 'retry-after-ms': '700', 'retry-after': '9' }),
    fromMs: 700,
    toMs: longest(700),
  },
  dated('a date', 0, false),
  dated('a date of a server whose clock is an hour ahead', hourMs, true),
  dated('a date of a server whose clock is an hour behind', -hourMs, true),
  { name: '0', headers: () => ({ 'retry-after': '0' }), fromMs: 0, toMs: longest(0) },
  { name: '-1', headers: () => ({ 'retry-after': '-1' }) },
  { name: 'NaN', headers: () => ({ 'retry-after': 'NaN' }) },
  { name: 'NaN ms', headers: () => ({ 'retry-after-ms': 'NaN' }) },
]
const statuses = [429, 503] as const
/** The ordinary back-off has jitter from 0 on: only many of them tell it from an immediate retry. */
const samples = { backOff: 12, asked: 4 }

const promptOf = (ask: Ask, status: number, at: number) => `${ask.name}/${status}/${at}`

function faultOf({ prompt, attempt }: { prompt: string; attempt: number }): Fault | undefined {
  const [name, status] = prompt.split('/')
  const ask = asks.find((candidate) => candidate.name === name)
  return ask && attempt === 1 ? { status: Number(status), headers: ask.headers() } : undefined
}

/** From the end of the first answer to the second request. */
function waitMs(simulator: Simulator, prompt: string): number {
  const [first, second, ...more] = simulator.requests.filter((request) => request.prompt === prompt)
  assert.ok(first && second && more.length === 0, prompt)
  return second.startedAt - ((first as RequestRecord).endedAt as number)
}

async function measure(simulator: Simulator, llm: LLM, ask: Ask, status: number): Promise<string> {
  const length = ask.toMs === undefined ? samples.backOff : samples.asked
  // What a busy machine adds is measured beside it, and allowed: on the way out, in the timer and on the way back.
  const lateness = monitorEventLoopDelay({ resolution: 5 })
  lateness.enable()
  const prompts = Array.from({ length }, (_, at) => promptOf(ask, status, at))
  // Half of them streams: one policy for both.
  const call = (prompt: string, at: number) => (at % 2 ? llm.agenerate(prompt) : llm.stream(prompt).response)
  await Promise.all(prompts.map(call))
  lateness.disable()
  const lateMs = 3 * Math.max(0, lateness.max / 1e6 - 5)
  const waits = prompts.map((prompt) => waitMs(simulator, prompt))
  const [least, most] = [Math.min(...waits), Math.max(...waits)]
  const figure = `${ask.name} on ${status}: ${least.toFixed(0)} to ${most.toFixed(0)} ms`
  const { fromMs = 0, toMs = minDelayMs + allowanceMs } = ask
  // A timer of the server's clock and one of the client's may differ by a millisecond.
  assert.ok(least >= fromMs - 1, figure)
  assert.ok(most <= toMs + lateMs, `${figure}, on a machine that was late by ${lateMs.toFixed(0)} ms`)
  if (ask.toMs === undefined) assert.ok(most > minDelayMs * 0.2, `no back-off at all: ${figure}`)
  return figure
}

/** Runs one ask after the other or all together; each has an LLM, and so a retry budget, of its own. */
async function campaign(
  t: TestContext,
  vendor: Vendor,
  chosen: readonly Ask[],
  isTogether: boolean,
): Promise<void> {
  await using simulator = await startSimulator({ fault: faultOf })
  const failures: unknown[] = []
  const figures: string[] = []
  const run = async (ask: Ask, status: number) => {
    await using llm = openLLM(vendor, simulator.url, {
      retry: { minDelayMs, maxDelayMs: 20_000 },
      maxConcurrent: samples.backOff,
    })
    await llm.agenerate('The SDK is loaded before any clock matters.')
    await measure(simulator, llm, ask, status).then(
      (figure) => figures.push(figure),
      (error: unknown) => failures.push(error),
    )
  }
  for (const status of statuses) {
    if (isTogether) await Promise.all(chosen.map((ask) => run(ask, status)))
    else for (const ask of chosen) await run(ask, status)
  }
  t.diagnostic(`${vendor}: ${figures.join('; ')}`)
  assert.equal(failures.map(String).join('\n'), '')
}

const isLong = ({ toMs = 0 }: Ask) => toMs > 500
for (const vendor of vendors) {
  // One by one, lest they measure each other.
  test(`${vendor}: 0 is at once, and what is no time is the ordinary back-off`, (t) =>
    campaign(
      t,
      vendor,
      asks.filter((ask) => !isLong(ask)),
      false,
    ))
}

describe('seconds, milliseconds and dates', { concurrency: vendors.length }, () => {
  for (const vendor of vendors) {
    test(`${vendor}: waits as long as the vendor asks, and not much longer`, (t) =>
      campaign(t, vendor, asks.filter(isLong), true))
  }
})

for (const vendor of vendors) {
  test(`${vendor}: a wait that is too long fails at once, and says how long was asked`, async () => {
    const long: Record<string, () => Record<string, string>> = {
      '3600 s': () => ({ 'retry-after': '3600' }),
      '3600000 ms': () => ({ 'retry-after-ms': '3600000' }),
      'a date': () => ({ 'retry-after': httpDate(Date.now() + hourMs), date: httpDate(Date.now()) }),
    }
    await using simulator = await startSimulator({
      fault: ({ prompt }) => ({
        status: prompt.includes('503') ? 503 : 429,
        headers: long[prompt.slice(4)]?.() ?? {},
      }),
    })
    await using llm = openLLM(vendor, simulator.url)
    await Promise.all(
      statuses.flatMap((status) =>
        Object.keys(long).map(async (name) => {
          const startedAt = performance.now()
          const error: unknown = await llm.agenerate(`${status} ${name}`).catch((reason: unknown) => reason)
          assert.ok(isConvokeError(error), String(error))
          assert.ok(performance.now() - startedAt < 2_000)
          const asked = error.retryAfterMs ?? 0
          assert.ok(Math.abs(asked - hourMs) <= (name === 'a date' ? 2_000 : 0), `${name}: ${asked}`)
          assert.match(error.message, /asks to wait 3(600|59[89]) s/)
          assert.equal(error.attempts, 1)
        }),
      ),
    )
    assert.equal(simulator.requests.length, statuses.length * Object.keys(long).length)
  })
}
