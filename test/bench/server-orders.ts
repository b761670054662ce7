/** The messages between a simulator's process and measure.ts, which started it. */

/** The answers of the simulator: its address, and its CPU time between `start` and `stop`. */
export type ServerMessage =
  { kind: 'listening'; baseURL: string } | { kind: 'used'; cpuMs: number; wallMs: number }
export type ServerOrder = 'start' | 'stop'

export function answerOrders(baseURL: string): void {
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
  tell({ kind: 'listening', baseURL })
}

function tell(message: ServerMessage): void {
  process.send?.(message)
}
