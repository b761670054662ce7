/**
 * Who writes to a store, and how others know that it is no more: by its process, told by when that was started from one
 * that got its id later, and, as a process may outlive its threads, by the thread.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { threadId } from 'node:worker_threads'

/** Of a process that has ended, and whose parent has not asked how: its id is still taken (state Z, X). */
const ended = 'ended'

/**
 * In the system's own count (Linux: clock ticks since the boot, field 22 of /proc/<pid>/stat, with the boot's id); '' where
 * the system does not say, or has no such process. Source: proc(5).
 */
export function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program, in parentheses, may hold anything.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (/[ZXx]/.test(state)) return ended
    const ticks = fields[18] ?? ''
    return `${ticks} ${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`
  } catch {
    return ''
  }
}

let own: string | undefined

/** Of this process: read once. */
export function ownStart(): string {
  return (own ??= processStart(process.pid))
}

/** Threads of this process that are known to have died, by their ids, which a process gives once. */
const lost = new Set<number>()

export function noteLostThreads(...ids: number[]): void {
  for (const id of ids) lost.add(id)
}

export function lostThreads(): number[] {
  return [...lost]
}

/** Of a writer in this thread. */
export function newWriterId(): string {
  return `${randomUUID()}@${threadId}`
}

/** @param writer its id. Those of older versions name no thread */
export function isOfThreads(writer: string, threads: readonly number[]): boolean {
  return threads.some((id) => writer.endsWith(`@${id}`))
}
