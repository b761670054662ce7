/**
 * Threads of this process that are known to have died, so that nobody waits for the turns that they left: their process
 * lives, and says nothing of them.
 */
import { randomUUID } from 'node:crypto'
import { threadId } from 'node:worker_threads'

/** By their ids, which a process gives once. */
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
