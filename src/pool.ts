/**
 * Worker threads, by piscina, which nothing else imports. A task is plain data; it may run twice (its thread may die
 * after the work and before the answer), so a worker makes each land once. Idle threads never hold the process open.
 */
import type { Piscina } from 'piscina'
import type { Transferable } from 'node:worker_threads'
import { ConvokeError } from './errors.ts'
import { fromPlainError } from './protocol.ts'
import type { Answer } from './protocol.ts'

export type WorkerName = 'tokenize' | 'history'

export interface PoolOptions {
  /** Threads are started on demand, up to so many. */
  maxThreads: number
  /** An idle thread ends after this, in milliseconds. `Infinity` keeps one. */
  idleMs: number
}

/** Threads that run one of the files in `workers/`. Nothing is loaded or started before the first task. */
export class WorkerPool<Task, Value> {
  readonly #worker: WorkerName
  readonly #options: PoolOptions
  #piscina: Promise<Piscina<Task, Answer<Value>>> | undefined
  #isClosed = false

  constructor(worker: WorkerName, options: PoolOptions) {
    this.#worker = worker
    this.#options = options
  }

  /**
   * Never takes a signal: piscina ends the thread to obey it, with all that runs there.
   * @throws ConvokeError the worker's own error, or `worker_lost` when its thread died twice over this task
   */
  async run(task: Task, transfer: readonly Transferable[] = []): Promise<Value> {
    if (this.#isClosed)
      throw new ConvokeError('worker_lost', `The pool of ${this.#worker} threads was closed.`)
    // What was handed over is gone with its thread; it cannot be sent again.
    const attempts = transfer.length === 0 ? 2 : 1
    for (let attempt = 1; ; attempt++) {
      let answer: Answer<Value>
      // Asked again for each attempt: the first may have been the end of the threads that there were.
      const piscina = await (this.#piscina ??= this.#start())
      try {
        answer = await piscina.run(task, transfer.length === 0 ? {} : { transferList: transfer })
      } catch (cause) {
        // A worker answers errors as data: what is thrown is the thread's end, or a task that cannot be cloned.
        if (cause instanceof DOMException) throw cause
        if (attempt < attempts && !this.#isClosed) continue
        const message = `A ${this.#worker} thread ended before its task was done: ${cause instanceof Error ? cause.message : String(cause)}`
        throw new ConvokeError('worker_lost', message, { cause })
      }
      if (answer.isOk) return answer.value
      throw fromPlainError(answer.error)
    }
  }

  async #start(): Promise<Piscina<Task, Answer<Value>>> {
    const piscina = await start<Task, Value>(this.#worker, this.#options)
    piscina.on('workerDestroy', () => {
      // By then the tasks of the dead thread were given again, and so have threads.
      setImmediate(() => this.#giveUp(piscina))
    })
    return piscina
  }

  /** Piscina forgets what waits for a thread that dies while it starts: it would wait for ever. */
  #giveUp(piscina: Piscina<Task, Answer<Value>>): void {
    if (piscina.threads.length > 0 || piscina.queueSize === 0) return
    if (!this.#isClosed) this.#piscina = undefined
    // Rejects all that waits; `run` gives it to new threads.
    void piscina.destroy()
  }

  /** Finishes what was given, then ends the threads. */
  async close(): Promise<void> {
    this.#isClosed = true
    await (await this.#piscina)?.close()
  }
}

async function start<Task, Value>(
  worker: WorkerName,
  { maxThreads, idleMs }: PoolOptions,
): Promise<Piscina<Task, Answer<Value>>> {
  const { Piscina } = await import('piscina')
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const piscina = new Piscina<Task, Answer<Value>>({
    filename: new URL(`../workers/${worker}.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads,
    idleTimeout: idleMs,
    maxQueue: Infinity,
    // Piscina's default would freeze the event loop of an idle worker, with its timers and check-points.
    atomics: 'disabled',
    recordTiming: false,
  })
  // A thread that dies outside of a task is news to its tasks alone; unheard, the event would end the process.
  piscina.on('error', () => undefined)
  return piscina
}
