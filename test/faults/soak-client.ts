/**
 * A service that calls all five vendors for a while: `soak-client.ts URL`. It reports outcomes, and resources that are
 * left.
 */
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { tell } from './fork-module.ts'
import { openLLM, vendors } from './vendors.ts'

const calls = 3_000
const warmUpCalls = 500
const atOnce = 100
const [url = ''] = process.argv.slice(2)

/** A random generator with a seed, so that failures can be repeated. */
let seed = 20_261
const random = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
const faults = [
  {},
  {},
  {},
  { status: 429, retryAfter: 0 },
  { status: 500 },
  { status: 401 },
  { reset: true },
  { cutAfter: 0.5 },
  { endAfter: 0.7 },
  { stallAfter: 0.4 },
  { junkAfter: 0.6 },
  { errorAfter: 0.5 },
  { comments: true },
  { latencyMs: 5_000 },
]

const timeouts = { firstChunkMs: 300, idleMs: 150, totalMs: 900 }
const llms = vendors.map((vendor) =>
  openLLM(vendor, url, {
    timeouts,
    maxConcurrent: atOnce / vendors.length,
    maxQueue: 50,
    retry: { minDelayMs: 1, maxDelayMs: 50 },
  }),
)
const endings: Record<string, number> = {}
const wrong: string[] = []

/** Makes one call in one of the ways. Returns how often it ended, which must be once. */
async function one(llm: LLM, prompt: string, way: number): Promise<{ ends: number; ended: string }> {
  let ends = 0
  let ended = ''
  const settle = (promise: Promise<unknown>, leaves = false) =>
    promise.then(
      () => (leaves ? undefined : (ends++, (ended = 'success'))),
      (error: unknown) => {
        ends++
        ended = isConvokeError(error) ? error.code : `untyped: ${String(error)}`
      },
    )
  const signal = way === 4 ? AbortSignal.timeout(40) : undefined
  const options = signal ? { signal } : {}
  if (way === 0) await settle(llm.agenerate(prompt, options))
  else if (way === 1) await settle(llm.stream(prompt).response)
  else if (way === 2) await settle(leave(llm, prompt))
  else await settle(readAll(llm, prompt, options))
  return { ends, ended }
}

async function leave(llm: LLM, prompt: string): Promise<void> {
  for await (const { content } of llm.stream(prompt)) if (content) break
}

async function readAll(llm: LLM, prompt: string, options: { signal?: AbortSignal }): Promise<void> {
  let finishes = 0
  try {
    for await (const { type } of llm.stream(prompt, options)) if (type === 'finish') finishes++
  } catch (error) {
    if (finishes === 0) throw error
    throw new Error('A finish chunk and an error.', { cause: error })
  }
  if (finishes !== 1) throw new Error(`${finishes} finish chunks`)
}

async function run(count: number): Promise<void> {
  let next = 0
  const work = async () => {
    for (let at = next++; at < count; at = next++) {
      const llm = llms[at % llms.length] as LLM
      const fault = faults[Math.floor(random() * faults.length)]
      const { ends, ended } = await one(llm, JSON.stringify({ at, fault }), Math.floor(random() * 5))
      endings[ended] = (endings[ended] ?? 0) + 1
      if (ends !== 1 || ended.startsWith('untyped'))
        wrong.push(`${ends} × ${ended} for ${JSON.stringify(fault)}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

/** The resources that the process holds when no call runs. */
async function left(): Promise<{ heapBytes: number; sockets: number; timers: number; listeners: number }> {
  // The rest of a body after the end of a reply is read for at most a second.
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  for (let at = 0; at < 4; at++) globalThis.gc?.()
  const resources = process.getActiveResourcesInfo()
  const count = (kind: string) => resources.filter((name) => name === kind).length
  return {
    heapBytes: process.memoryUsage().heapUsed,
    sockets: count('TCPSocketWrap'),
    timers: count('Timeout'),
    listeners: process.eventNames().length,
  }
}

await run(warmUpCalls)
const before = await left()
tell(before)
await run(calls - warmUpCalls)
const after = await left()
const activity = llms.map((llm) => llm.activity)
tell({ endings, wrong: wrong.slice(0, 5), after, activity })
// Nothing is closed here, and the process must exit nevertheless.
process.disconnect()
