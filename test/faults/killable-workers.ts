/** Makes the threads of the pool killable. Import this module before the first store is used. */
import { createRequire } from 'node:module'
import type { Worker, WorkerOptions } from 'node:worker_threads'
import { setEnvironmentData } from 'node:worker_threads'
import { setImmediate } from 'node:timers/promises'
import { user } from '../support/store-kit.ts'
import type { Store } from '../../src/store/store.ts'
import { ways as inside } from './worker-killer.ts'

export const ways = [...inside, 'terminated from outside'] as const

const order = new Int32Array(new SharedArrayBuffer(4))
setEnvironmentData('worker-killer', order.buffer)
let latest: Worker | undefined
/** The number of threads that ended. */
export let deaths = 0

// Piscina reads its Worker class from this object whenever it starts a thread.
const threads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker }
threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options: WorkerOptions = {}) {
    const killer = new URL('./worker-killer.ts', import.meta.url).href
    super(file, {
      ...options,
      execArgv: ['--import', killer],
      // A small heap is used up fast. The young generation is small too, because many survivors at once, beyond the
      // limit, would end the whole process.
      resourceLimits: { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 6 },
    })
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    latest = this
    this.on('exit', () => deaths++)
  }
}

/** Ends the thread that was started last. */
export async function killLatest(): Promise<void> {
  await latest?.terminate()
}

/** Makes a hundred writes, some batched and some in flight, while the thread is killed. Returns their ids in order. */
export async function writeUnderKill(
  store: Store,
  sessionId: string,
  way: (typeof ways)[number],
): Promise<string[]> {
  const ids = Array.from({ length: 100 }, (_, at) => `${sessionId}-${at}`)
  const writes: Promise<unknown>[] = []
  for (const [at, id] of ids.entries()) {
    writes.push(store.addMessages(sessionId, [user(id)]))
    if (at === 30) Atomics.store(order, 0, inside.indexOf(way as (typeof inside)[number]) + 1)
    if (at === 60 && way === 'terminated from outside') void latest?.terminate()
    if (at % 20 === 19) await setImmediate()
  }
  await Promise.all(writes)
  return ids
}
