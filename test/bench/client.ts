/** The measured process: one subject in one scenario. Started by measure.ts. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientSays } from './measure.ts'
import type { Figures, Scenario, ScenarioName, SubjectName, Vendor } from './scenarios.ts'
import { prompt, replyChunks, scenarios, warmUpPrompt } from './scenarios.ts'
import { loadSubject } from './subjects/subject.ts'
import type { Subject } from './subjects/subject.ts'

export interface ClientTask {
  subject: SubjectName
  vendor: Vendor
  scenario: ScenarioName
  baseURL: string
}

export type ClientFigures = Omit<Figures, 'serverShare' | 'othersShare'> & { cpuMs: number }
type ClientMessage = ClientSays<ClientFigures>

interface Tally {
  firstChunkMs: number[]
  lost: number
  firstError?: string
}

const task = JSON.parse(process.argv[2] ?? '{}') as ClientTask
const scenario = scenarios[task.scenario]
const expected = replyChunks(scenario.chunks).join('')

process.on('disconnect', () => process.exit())
const subject = await loadSubject(task)
await warm(subject)
tell({ kind: 'started' })
const { figures, firstError } = await measure(subject)
// Some SDKs leave timers behind that would keep the process alive for minutes.
process.send?.({ kind: 'result', figures, firstError }, () => process.exit())

async function warm(subject: Subject): Promise<void> {
  for (let made = 0; made < scenario.warmUp.requests; made++) {
    if (scenario.isStream) await subject.stream(warmUpPrompt, () => undefined)
    else await subject.ask(warmUpPrompt)
  }
}

async function measure(subject: Subject): Promise<{ figures: ClientFigures; firstError?: string }> {
  const tally: Tally = { firstChunkMs: [], lost: 0 }
  const loop = monitorEventLoopDelay()
  if (scenario.atOnce > 1 && scenario.isStream) loop.enable()
  await sleep(20) // the histogram does not record its first interval
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  await pool(scenario, () => attempt(subject, tally))
  const { user, system } = process.cpuUsage(cpu)
  const wallMs = performance.now() - startedAt
  loop.disable()
  const sorted = tally.firstChunkMs.sort((a, b) => a - b)
  const figures: ClientFigures = {
    cpuMs: (user + system) / 1_000,
    cpuMsPerCall: (user + system) / 1_000 / scenario.total,
    cpuUsPerChunk: (user + system) / scenario.total / scenario.chunks,
    callsPerSecond: (scenario.total / wallMs) * 1_000,
    firstChunkP50Ms: quantile(sorted, 0.5),
    firstChunkP99Ms: quantile(sorted, 0.99),
    loopP99Ms: loop.percentile(99) / 1e6,
    rssMb: process.resourceUsage().maxRSS / 1_024,
    lost: tally.lost,
  }
  return { figures, ...(tally.firstError !== undefined && { firstError: tally.firstError }) }
}

/** Keeps `atOnce` requests in flight: when one ends, the next begins. */
async function pool({ total, atOnce, rampMs }: Scenario, attempt: () => Promise<void>): Promise<void> {
  let started = 0
  const lane = async (_: unknown, at: number) => {
    if (rampMs > 0) await sleep((at * rampMs) / atOnce)
    while (started < total) {
      started++
      await attempt()
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}

async function attempt(subject: Subject, tally: Tally): Promise<void> {
  try {
    const text = scenario.isStream ? await readStream(subject, tally) : await subject.ask(prompt)
    if (text !== expected) throw new Error(`${text.length} characters, not the ${expected.length} sent`)
  } catch (error) {
    tally.lost++
    tally.firstError ??= String(error)
  }
}

async function readStream(subject: Subject, tally: Tally): Promise<string> {
  const startedAt = performance.now()
  let text = ''
  await subject.stream(prompt, (piece) => {
    if (text === '' && piece !== '') tally.firstChunkMs.push(performance.now() - startedAt)
    text += piece
  })
  return text
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

function tell(message: ClientMessage): void {
  process.send?.(message)
}
