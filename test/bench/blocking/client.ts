/** The measured process: one caller with one load. Started by measure.ts. */
import { performance } from 'node:perf_hooks'
import type { ClientSays } from '../measure.ts'
import { median } from '../report.ts'
import { prompt, replyChunks, warmUpPrompt } from '../scenarios.ts'
import { createCaller } from './caller.ts'
import type { Caller } from './caller.ts'
import { callsOfMany, loads, spawned } from './loads.ts'
import type { BlockingFigures, BlockingTask } from './loads.ts'

type Figures = Omit<BlockingFigures, 'lost' | 'cpuMs'>

const task = JSON.parse(process.argv[2] ?? '{}') as BlockingTask
const load = loads[task.load]
const { warmUp, total } = task.caller === 'spawn' ? { ...load, ...spawned } : load
const expected = replyChunks(load.chunks).join('')
let cpuAtStart: NodeJS.CpuUsage | undefined
let lost = 0
let firstError: string | undefined

process.on('disconnect', () => process.exit())
const measured = await run()
const { user, system } = process.cpuUsage(cpuAtStart)
const figures: BlockingFigures = { ...measured, lost, cpuMs: (user + system) / 1_000 }
// Some SDKs leave timers behind that would keep the process alive for minutes.
process.send?.({ kind: 'result', figures, firstError } satisfies ClientSays<BlockingFigures>, () =>
  process.exit(),
)

function run(): Promise<Figures> {
  switch (task.load) {
    case 'call':
    case 'pinned':
      return call()
    case 'first':
      return first()
    case 'stream':
      return stream()
    case 'throughput':
      return throughput()
  }
}

async function call(): Promise<Figures> {
  const caller = await warmCaller()
  await started()
  const tookMs: number[] = []
  const startedAt = performance.now()
  for (let made = 0; made < total; made++) {
    const calledAt = performance.now()
    await attempt(() => caller.ask(prompt))
    tookMs.push(performance.now() - calledAt)
  }
  const callMs = (performance.now() - startedAt) / total
  const { user, system } = process.cpuUsage(cpuAtStart)
  // The CPU time of processes that spawnSync starts cannot be read.
  const cpu = task.caller === 'spawn' ? {} : { cpuMsPerCall: (user + system) / 1_000 / total }
  return { callMs, callP50Ms: median(tookMs), ...cpu }
}

async function first(): Promise<Figures> {
  await started()
  const startedAt = performance.now()
  const caller = await createCaller(task)
  const importedAt = performance.now()
  await attempt(() => caller.ask(prompt))
  const endedAt = performance.now()
  // The other callers load the SDK before the call.
  const isConvoke = task.caller === 'blocking' || task.caller === 'awaited'
  return { startMs: endedAt - startedAt, ...(isConvoke && { firstCallMs: endedAt - importedAt }) }
}

async function stream(): Promise<Figures> {
  const caller = await warmCaller()
  await started()
  const startedAt = performance.now()
  for (let made = 0; made < total; made++) await attempt(() => readStream(caller, prompt))
  const seconds = (performance.now() - startedAt) / 1_000
  const { user, system } = process.cpuUsage(cpuAtStart)
  const chunks = total * load.chunks
  return { chunksPerSecond: chunks / seconds, cpuUsPerChunk: (user + system) / chunks }
}

async function throughput(): Promise<Figures> {
  const caller = await warmCaller()
  await started()
  const startedAt = performance.now()
  if (task.caller === 'awaited' || task.caller === 'bare') {
    await Promise.all(Array.from({ length: callsOfMany }, () => attempt(() => caller.ask(prompt))))
    return { manySeconds: (performance.now() - startedAt) / 1_000 }
  }
  for (let made = 0; made < total; made++) await attempt(() => caller.ask(prompt))
  return { manySeconds: ((performance.now() - startedAt) / 1_000 / total) * callsOfMany }
}

async function warmCaller(): Promise<Caller> {
  const caller = await createCaller(task)
  for (let made = 0; made < warmUp; made++) {
    if (task.load === 'stream') await readStream(caller, warmUpPrompt)
    else await caller.ask(warmUpPrompt)
  }
  return caller
}

/** Awaits only promises, because a blocking script never returns to its event loop. */
async function attempt(ask: () => string | Promise<string>): Promise<void> {
  try {
    const given = ask()
    const text = typeof given === 'string' ? given : await given
    if (text !== expected) throw new Error(`${text.length} characters, not the ${expected.length} sent`)
  } catch (error) {
    lost++
    firstError ??= String(error)
  }
}

function readStream(caller: Caller, asked: string): string | Promise<string> {
  let text = ''
  const read = caller.stream?.(asked, (piece) => (text += piece))
  return read ? read.then(() => text) : text
}

/** Waits until the message is sent, because a blocking process would not send it later. */
async function started(): Promise<void> {
  await new Promise((sent) => process.send?.({ kind: 'started' }, sent))
  cpuAtStart = process.cpuUsage()
}
