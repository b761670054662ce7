/**
 * Ends the thread of a store from inside, at a commit. `killable-workers.ts` preloads it into worker threads. The order
 * comes through shared memory, and is carried out once.
 */
import { getEnvironmentData, isMainThread } from 'node:worker_threads'
import SQLite from 'better-sqlite3'

/** The ways to end, as numbers in shared memory. */
export const ways = [
  'exit before the commit',
  'exit after the commit',
  'uncaught error',
  'out of memory',
] as const

const shared = getEnvironmentData('worker-killer')
if (!isMainThread && shared instanceof SharedArrayBuffer) {
  const order = new Int32Array(shared)
  const { exec } = SQLite.prototype
  SQLite.prototype.exec = function (source: string) {
    const way = source === 'COMMIT' ? ways[Atomics.exchange(order, 0, 0) - 1] : undefined
    if (way === 'exit before the commit') process.exit(3)
    if (way === 'out of memory') exhaust()
    if (way === 'uncaught error')
      queueMicrotask(() => {
        throw new Error('The thread was told to fail')
      })
    const result = exec.call(this, source)
    if (way === 'exit after the commit') process.exit(3)
    return result
  }
}

/** Allocates small pieces, because one large piece beyond the limit would end the whole process. */
function exhaust(): void {
  let held: unknown
  for (;;) held = { held }
}
