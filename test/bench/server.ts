/** The simulator in a process of its own, so that its CPU is not the client's. Started by measure.ts. */
import { importSimulator } from './built.ts'
import { replyChunks, scenarios, warmUpPrompt } from './scenarios.ts'
import type { ScenarioName, Vendor } from './scenarios.ts'

/** What this process says: where it listens, and what its CPU did between `start` and `stop`. */
export type ServerMessage =
  { kind: 'listening'; baseURL: string } | { kind: 'used'; cpuMs: number; wallMs: number }
export type ServerOrder = 'start' | 'stop'

const [vendor, name] = process.argv.slice(2) as [Vendor, ScenarioName]
const { chunks, paceMs, warmUp } = scenarios[name]
const full = { chunks: replyChunks(chunks), paceMs }
const warming = { chunks: replyChunks(warmUp.chunks), paceMs: 0 }

const { startSimulator } = await importSimulator()
const simulator = await startSimulator({
  reply: (request) => (request.prompt === warmUpPrompt ? warming : full),
})

let startedAt = 0
let startCpu: NodeJS.CpuUsage | undefined
process.on('message', (order: ServerOrder) => {
  if (order === 'start') {
    startedAt = performance.now()
    startCpu = process.cpuUsage()
    return
  }
  const { user, system } = process.cpuUsage(startCpu)
  tell({ kind: 'used', cpuMs: (user + system) / 1_000, wallMs: performance.now() - startedAt })
})
process.on('disconnect', () => process.exit())
tell({ kind: 'listening', baseURL: simulator.baseURL(vendor) })

function tell(message: ServerMessage): void {
  process.send?.(message)
}
