/** Waits that a vendor asks for, measured by the vendor's clock. */
import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault, RequestRecord, Simulator } from 'convoke/simulator'
import { describe, test } from 'vitest'
import type { TestContext } from 'vitest'
import { serve } from './serve.ts'
import { openLLM, plainOf, streamOf, streams, understand, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

/** The time that timers, sockets and the work of both ends may add to a wait. */
const allowanceMs = 60
/** The first back-off when the vendor asks for no wait. */
const minDelayMs = 500
const hourMs = 3_600_000

interface Answered {
  headers: Record<string, string>
  /** The wait that the header asks for; undefined for the usual back-off. */
  waitMs?: number
  /** True when the header names a moment, so that the wait begins before the answer is sent. */
  isMoment?: true
}

interface Ask {
  name: string
  /** Makes the header for an answer at this moment. */
  answer: () => Answered
}

const httpDate = (ms: number) => new Date(ms).toUTCString()
const longest = (ms: number) => ms * 1.2 + allowanceMs
const fixed = (name: string, waitMs: number, headers: Record<string, string>): Ask => ({
  name,
  answer: () => ({ headers, waitMs }),
})
/** A date has whole seconds and is 2 to 3 s ahead. The wait that it asks for is known to the millisecond. */
const dated: Ask = {
  name: 'a date',
  answer: () => {
    const nowMs = Date.now()
    const untilMs = Math.ceil(nowMs / 1_000) * 1_000 + 2_000
    const headers = { 'retry-after': httpDate(untilMs), date: httpDate(nowMs) }
    return { headers, waitMs: untilMs - nowMs, isMoment: true }
  },
}
/**
 * A server with a wrong clock that answers at the beginning of a second. Its two headers, which have whole seconds,
 * then state the exact wait, so rounding cannot explain a longer one.
 */
const datedApart = (name: string, skewMs: number): Ask => ({
  name,
  answer: () => {
    const nowMs = Math.round((Date.now() + skewMs) / 1_000) * 1_000
    return { headers: { 'retry-after': httpDate(nowMs + 2_000), date: httpDate(nowMs) }, waitMs: 2_000 }
  },
})
const backOff = (name: string, headers: Record<string, string>): Ask => ({
  name,
  answer: () => ({ headers }),
})

const longAsks: readonly Ask[] = [
  fixed('2 s', 2_000, { 'retry-after': '2' }),
  fixed('1.5 s', 1_500, { 'retry-after': '1.5' }),
  fixed('700 ms', 700, { 'retry-after-ms': '700' }),
  fixed('700 ms over 9 s', 700, { 'retry-after-ms': '700', 'retry-after': '9' }),
  dated,
  datedApart('a date of a server whose clock is an hour ahead', hourMs),
  datedApart('a date of a server whose clock is an hour behind', -hourMs),
]
const shortAsks: readonly Ask[] = [
  fixed('0', 0, { 'retry-after': '0' }),
  backOff('-1', { 'retry-after': '-1' }),
  backOff('NaN', { 'retry-after': 'NaN' }),
  backOff('NaN ms', { 'retry-after-ms': 'NaN' }),
]
const asks = [...longAsks, ...shortAsks]
const statuses = [429, 503] as const
/** The usual back-off has jitter from 0 on, so only many of them differ from immediate retries. */
const samples = { backOff: 12, asked: 4 }

const promptOf = (ask: Ask, status: number, at: number) => `${ask.name}/${status}/${at}`

/** The wait that an answer asked for, and the time of the answer by `performance.now()`. */
interface Given extends Answered {
  at: number
}

/** Makes the fault of each request, and records the wait that it asks for. */
function faultOf(given: Map<string, Given>) {
  return ({ prompt, attempt }: { prompt: string; attempt: number }): Fault | undefined => {
    const [name, status] = prompt.split('/')
    const ask = asks.find((candidate) => candidate.name === name)
    if (!ask || attempt !== 1) return undefined
    const at = performance.now()
    const answer = ask.answer()
    given.set(prompt, { ...answer, at })
    return { status: Number(status), headers: answer.headers }
  }
}

interface Wait {
  /** The time from the end of the first answer to the second request. */
  tookMs: number
  /** The rest of the wait when the first answer ended. */
  askedMs: number | undefined
}

function waitOf(simulator: Simulator, given: Map<string, Given>, prompt: string): Wait {
  const [first, second, ...more] = simulator.requests.filter((request) => request.prompt === prompt)
  assert.ok(first && second && more.length === 0, prompt)
  const endedAt = (first as RequestRecord).endedAt as number
  const { at, waitMs, isMoment } = given.get(prompt) as Given
  const passedMs = isMoment ? endedAt - at : 0
  return {
    tookMs: second.startedAt - endedAt,
    askedMs: waitMs === undefined ? undefined : Math.max(0, waitMs - passedMs),
  }
}

/** Runs `work`, and returns by how much the machine may have delayed a wait in it. */
async function lateness(work: () => Promise<unknown>): Promise<number> {
  // The delay of a busy machine is measured meanwhile and allowed: on the way out, in the timer and on the way back.
  const monitor = monitorEventLoopDelay({ resolution: 5 })
  monitor.enable()
  await work()
  monitor.disable()
  return 3 * Math.max(0, monitor.max / 1e6 - 5)
}

/** Compares each wait with the wait that its own answer asked for. */
function checkWaits(name: string, waits: readonly Wait[], lateMs: number): string {
  const took = waits.map(({ tookMs }) => tookMs)
  const asked = waits.flatMap(({ askedMs }) => (askedMs === undefined ? [] : [askedMs]))
  const [least, most] = [Math.min(...took), Math.max(...took)]
  const span = (values: readonly number[]) =>
    `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)} ms`
  const figure = `${name}: ${span(took)}${asked.length > 0 ? `, asked ${span(asked)}` : ''}`
  const late = `, on a machine that was late by ${lateMs.toFixed(0)} ms`
  for (const { tookMs, askedMs } of waits) {
    const one = `${figure}; one took ${tookMs.toFixed(1)} ms, asked ${askedMs?.toFixed(1) ?? 'nothing'}${late}`
    // The timers of server and client may differ by a millisecond.
    assert.ok(tookMs >= (askedMs ?? 0) - 1, one)
    assert.ok(tookMs <= (askedMs === undefined ? minDelayMs + allowanceMs : longest(askedMs)) + lateMs, one)
  }
  if (asked.length === 0) assert.ok(most > minDelayMs * 0.2, `no back-off at all: ${figure}`)
  assert.ok(least >= 0, figure)
  return figure
}

async function measure(
  simulator: Simulator,
  given: Map<string, Given>,
  llm: LLM,
  ask: Ask,
  status: number,
): Promise<string> {
  const length = ask.answer().waitMs === undefined ? samples.backOff : samples.asked
  const prompts = Array.from({ length }, (_, at) => promptOf(ask, status, at))
  const lateMs = await lateness(() => Promise.all(prompts.map((prompt, at) => callBy(llm, prompt, at))))
  const waits = prompts.map((prompt) => waitOf(simulator, given, prompt))
  return checkWaits(`${ask.name} on ${status}`, waits, lateMs)
}

/** Makes streams and other calls alternately, because the same policy holds for both. */
const callBy = (llm: LLM, prompt: string, at: number) =>
  at % 2 ? llm.agenerate(prompt) : llm.stream(prompt).response

/** Runs calls one by one or all together. Each has its own LLM, and so its own retry budget. */
async function campaign(
  t: TestContext,
  vendor: Vendor,
  chosen: readonly Ask[],
  isTogether: boolean,
): Promise<void> {
  const given = new Map<string, Given>()
  await using simulator = await startSimulator({ fault: faultOf(given) })
  const failures: unknown[] = []
  const figures: string[] = []
  const run = async (ask: Ask, status: number) => {
    await using llm = openLLM(vendor, simulator.url, {
      retry: { minDelayMs, maxDelayMs: 20_000 },
      maxConcurrent: samples.backOff,
    })
    await llm.agenerate('The SDK is loaded before any clock matters.')
    await measure(simulator, given, llm, ask, status).then(
      (figure) => figures.push(figure),
      (error: unknown) => failures.push(error),
    )
  }
  for (const status of statuses) {
    if (isTogether) await Promise.all(chosen.map((ask) => run(ask, status)))
    else for (const ask of chosen) await run(ask, status)
  }
  await t.annotate(`${vendor}: ${figures.join('; ')}`)
  assert.equal(failures.map(String).join('\n'), '')
}

for (const vendor of vendors) {
  // They run one by one, so that they do not delay each other.
  test(`${vendor}: 0 is at once, and what is no time is the ordinary back-off`, (t) =>
    campaign(t, vendor, shortAsks, false))
}

/** A proxy that adds the header a second time. The simulator sends each header only once. */
async function doubled(t: TestContext, vendor: Vendor): Promise<void> {
  const waits: Wait[] = []
  const endedAt = new Map<string, number>()
  await using server = await serve((request, response, body) => {
    const { isStream } = understand(request.url ?? '', body)
    const [prompt, status] = /(429|503)\/\d/.exec(body) ?? []
    const first = prompt === undefined ? undefined : endedAt.get(prompt)
    if (prompt !== undefined && first === undefined) {
      response.statusCode = Number(status)
      response.setHeader('retry-after', ['1', '1']).setHeader('content-type', 'application/json')
      response.end('{"error":{"message":"Later."}}', () => endedAt.set(prompt, performance.now()))
      return
    }
    if (first !== undefined) waits.push({ tookMs: performance.now() - first, askedMs: 1_000 })
    response.setHeader('content-type', isStream ? streams[vendor].contentType : 'application/json')
    response.end(isStream ? streamOf(vendor, ['Hi']) : plainOf(vendor, 'Hi'))
  })
  await using llm = openLLM(vendor, server.url, { retry: { minDelayMs, maxDelayMs: 20_000 } })
  await llm.agenerate('The SDK is loaded before any clock matters.')
  const prompts = statuses.flatMap((status) =>
    Array.from({ length: samples.asked }, (_, at) => `${status}/${at}`),
  )
  const lateMs = await lateness(() => Promise.all(prompts.map((prompt, at) => callBy(llm, prompt, at))))
  assert.equal(waits.length, prompts.length)
  await t.annotate(`${vendor}: ${checkWaits('1 s, said twice', waits, lateMs)}`)
}

describe.concurrent('seconds, milliseconds and dates', () => {
  for (const vendor of vendors) {
    test(`${vendor}: waits as long as the vendor asks, and not much longer`, (t) =>
      campaign(t, vendor, longAsks, true))

    test(`${vendor}: a header that stands there twice, which clients join to '1, 1', asks for 1 s`, (t) =>
      doubled(t, vendor))
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
