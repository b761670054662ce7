/** One measured run, with a fresh simulator process and a fresh client process. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import type { ClientFigures, ClientTask } from './client.ts'
import type { Figures } from './scenarios.ts'
import type { ServerMessage, ServerOrder } from './server-orders.ts'

export interface Measured<Figures> {
  figures: Figures
  /** The error of the first request that failed. */
  firstError?: string
}

/** The messages of a client process: the end of its warm-up, and its measurements. */
export type ClientSays<Own> =
  { kind: 'started' } | { kind: 'result'; figures: Own; firstError?: string | undefined }

/** The files of the two processes of a run, and their arguments. */
export interface Run {
  server: { file: string; parameters: string[] }
  client: { file: string; task: object }
  /** Pins each process to a core of its own (Linux). @default the scheduler decides */
  isPinned?: boolean
}

/**
 * The CPU time of the simulator as a share of the elapsed time, and that of other processes as a share of the
 * machine's.
 */
interface Shares {
  serverShare: number
  othersShare: number
}

const limitMs = 120_000

export function measure(task: Omit<ClientTask, 'baseURL'>): Promise<Measured<Figures>> {
  return measureRun<ClientFigures>({
    server: { file: 'server.ts', parameters: [task.vendor, task.scenario] },
    client: { file: 'client.ts', task },
  })
}

export async function measureRun<Own extends { cpuMs: number }>(run: Run): Promise<Measured<Own & Shares>> {
  const server = start(run.server.file, run.server.parameters, run.isPinned ? 1 : undefined)
  try {
    const { baseURL } = await message<ServerMessage, 'listening'>(server, 'listening')
    return await measureClient<Own>(
      start(run.client.file, [JSON.stringify({ ...run.client.task, baseURL })], run.isPinned ? 0 : undefined),
      server,
    )
  } finally {
    await stop(server)
  }
}

async function measureClient<Own extends { cpuMs: number }>(
  client: ChildProcess,
  server: ChildProcess,
): Promise<Measured<Own & Shares>> {
  const order = (word: ServerOrder) => server.send(word)
  try {
    const ended = message<ClientSays<Own>, 'result'>(client, 'result')
    ended.catch(() => undefined) // awaited below, unless the start fails for the same reason
    await message<ClientSays<Own>, 'started'>(client, 'started')
    order('start')
    const busyBefore = machineMs()
    const { figures, firstError } = await ended
    const used = message<ServerMessage, 'used'>(server, 'used')
    order('stop')
    const { cpuMs: serverMs, wallMs } = await used
    // The machine counts in ticks of 10 ms, so the difference may be slightly negative.
    const othersMs = Math.max(0, machineMs() - busyBefore - serverMs - figures.cpuMs)
    const shares = { serverShare: serverMs / wallMs, othersShare: othersMs / wallMs / cpus().length }
    return { figures: { ...figures, ...shares }, ...(firstError !== undefined && { firstError }) }
  } finally {
    await stop(client)
  }
}

/** The milliseconds that all cores were busy since the start of the machine, with any process. */
export function machineMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}

/** An environment without the user's variables, because a proxy, a key or a tracer would change the measurement. */
export function start(file: string, parameters: string[], core?: number): ChildProcess {
  return fork(join(import.meta.dirname, file), parameters, {
    execArgv: [],
    ...(core !== undefined && { execPath: 'taskset', execArgv: ['-c', String(core), process.execPath] }),
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

export async function message<M extends { kind: string }, K extends M['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<M, { kind: K }>> {
  const name = child.spawnargs.at(-1)
  const { promise, resolve, reject } = Promise.withResolvers<Extract<M, { kind: K }>>()
  const timer = setTimeout(() => reject(new Error(`${name}: no result in ${limitMs / 1_000} s`)), limitMs)
  const onMessage = (said: M) => {
    if (said.kind === kind) resolve(said as Extract<M, { kind: K }>)
  }
  const onExit = (code: number | null) => reject(new Error(`${name}: exited with ${code}`))
  child.on('message', onMessage).once('exit', onExit)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    child.off('message', onMessage).off('exit', onExit)
  }
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
