/**
 * `npm run bench:hedging`: the effect of hedging on a heavy tail, and its cost, in half a minute. One reply in twenty
 * takes twenty times as long. The vendors are simulators in separate threads, and their slow replies are independent.
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { createLLM, hedge } from '../../src/index.ts'
import type { LLM } from '../../src/index.ts'
import { startSimulator } from '../../src/simulator/index.ts'

const calls = 2_000
const atOnce = 20
const warmUp = 100
const slowShare = 0.05
const slowFactor = 20
/** The shortest time of a usual reply, in milliseconds; up to a third is added at random. */
const latencyMs = 24

if (isMainThread) await main()
else await serve()

async function main(): Promise<void> {
  const vendors = [await vendor(), await vendor()]
  const [first, second] = vendors.map(({ baseURL }) => llmAt(baseURL)) as [LLM, LLM]
  const subjects: [string, LLM][] = [
    ['one LLM', first],
    ['hedge, afterMs 60', hedge([first, second], { afterMs: 60 })],
    ['hedge, afterQuantile 0.94', hedge([first, second], { afterQuantile: 0.94 })],
  ]
  const rows = []
  for (const [name, llm] of subjects) {
    for (const kind of ['call', 'stream'] as const) {
      await run(llm, kind, warmUp)
      const before = await requestsOf(vendors)
      const elapsedMs = await run(llm, kind, calls)
      const extra = ((await requestsOf(vendors)) - before) / calls - 1
      rows.push({ name, kind, elapsedMs, extra })
    }
  }
  console.log(`${calls} of each, ${atOnce} at once; to the reply (call), to the first content (stream)\n`)
  console.log(
    '| subject                   | kind   | p50, ms | p90, ms | p99, ms | extra requests | p99 halved at ≤ 10 % extra |',
  )
  console.log(
    '| :------------------------ | :----- | ------: | ------: | ------: | -------------: | -------------------------: |',
  )
  for (const { name, kind, elapsedMs, extra } of rows) {
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => quantile(elapsedMs, share)) as [
      number,
      number,
      number,
    ]
    const alone = rows.find((row) => row.kind === kind)?.elapsedMs ?? []
    const isMet = p99 <= quantile(alone, 0.99) / 2 && extra <= 0.1
    if (name !== 'one LLM' && !isMet) process.exitCode = 1
    const cells = [p50, p90, p99].map((value) => value.toFixed(0).padStart(7))
    const verdict = name === 'one LLM' ? '' : isMet ? 'yes' : 'no'
    const share = `${(extra * 100).toFixed(1)} %`
    console.log(
      `| ${name.padEnd(25)} | ${kind.padEnd(6)} | ${cells.join(' | ')} | ${share.padStart(14)} | ${verdict.padStart(26)} |`,
    )
  }
  for (const { worker } of vendors) await worker.terminate()
}

function llmAt(baseURL: string): LLM {
  return createLLM('openai', { model: 'm', apiKey: 'bench', baseURL, maxConcurrent: 100 })
}

/** The time of each call, in milliseconds. */
async function run(llm: LLM, kind: 'call' | 'stream', count: number): Promise<number[]> {
  const elapsedMs: number[] = []
  let begun = 0
  const caller = async () => {
    while (begun++ < count) {
      const startedAtMs = performance.now()
      if (kind === 'call') {
        await llm.agenerate(`call ${begun}`)
        elapsedMs.push(performance.now() - startedAtMs)
        continue
      }
      let isFirst = true
      for await (const { content } of llm.stream(`call ${begun}`)) {
        if (content && isFirst) elapsedMs.push(performance.now() - startedAtMs)
        if (content) isFirst = false
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, caller))
  return elapsedMs
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor(share * values.length)] as number
}

async function vendor(): Promise<{ worker: Worker; baseURL: string }> {
  const worker = new Worker(new URL(import.meta.url))
  const [baseURL] = (await once(worker, 'message')) as [string]
  return { worker, baseURL }
}

async function requestsOf(vendors: { worker: Worker }[]): Promise<number> {
  let sum = 0
  for (const { worker } of vendors) {
    worker.postMessage('requests')
    sum += ((await once(worker, 'message')) as [number])[0]
  }
  return sum
}

async function serve(): Promise<void> {
  let requests = 0
  const simulator = await startSimulator({
    chunkSize: 16,
    reply: () => {
      requests++
      const usualMs = latencyMs * (1 + Math.random() / 3)
      return {
        text: 'A reply of some words.',
        latencyMs: usualMs * (Math.random() < slowShare ? slowFactor : 1),
      }
    },
  })
  parentPort?.on('message', () => parentPort?.postMessage(requests))
  parentPort?.postMessage(simulator.baseURL('openai'))
}
