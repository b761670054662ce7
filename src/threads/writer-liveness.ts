/**
 * Identifies the writers of a store, so that others can tell when one is dead. A writer is a thread of a process. A process
 * is known by its id and its start, since ids are reused; a thread by its id, since a process may outlive its threads.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { threadId } from 'node:worker_threads'

/** Stands for the start of a process that has ended, but keeps its id until its parent reads its status (state Z, X). */
const ended = 'ended'

/**
 * The start of a process as its system counts it: on Linux clock ticks since the boot (field 22 of /proc/<pid>/stat), with
 * the boot's id. '' where the system does not say, or there is no such process. Source: proc(5).
 */
export function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The program's name, in parentheses, may have any characters, so fields are counted from behind it.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (/[ZXx]/.test(state)) return ended
    const ticks = fields[18] ?? ''
    return `${ticks} ${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`
  } catch {
    return ''
  }
}

let own: string | undefined

/** The start of this process. It is read once. */
export function ownStart(): string {
  return (own ??= processStart(process.pid))
}

/** Ids of this process's threads that have died. A process never gives a thread id twice. */
const lost = new Set<number>()

/** Notes that threads of this process have died. */
export function noteLostThreads(...ids: number[]): void {
  for (const id of ids) lost.add(id)
}

/** The ids of this process's threads that have died. */
export function lostThreads(): number[] {
  return [...lost]
}

/** A random id for a writer in this thread: a UUID, `@` and the thread's id. */
export function newWriterId(): string {
  return `${randomUUID()}@${threadId}`
}

/** Whether a writer, by its id, is in one of these threads. Ids of older versions have no thread. */
export function isOfThreads(writer: string, threads: readonly number[]): boolean {
  return threads.some((id) => writer.endsWith(`@${id}`))
}
