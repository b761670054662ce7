/**
 * Worker threads, by piscina, which nothing else imports. A task is plain data; it may run more than once (its thread may
 * die after the work and before the answer), so a worker makes each land once. Idle threads never hold the process open.
 */
import type { Piscina } from 'piscina'
import type { Transferable } from 'node:worker_threads'
import { ConvokeError, messageOf } from '../errors.ts'
import { deserializeError } from './serialize-error.ts'
import type { Answer } from './answer.ts'
import { threadExecArgv } from './exec-argv.ts'

export type WorkerName = 'tokenize' | 'sqlite'

export interface PoolOptions {
  /** Threads are started on demand, up to so many. */
  maxThreads: number
  /** An idle thread ends after this, in milliseconds. `Infinity` keeps one. */
  idleMs: number
}

/** What ends all threads at once may reach the one that goes on as well; a task that ends each of its threads is lost. */
const maxAttempts = 3

/** Threads that run one of the files in `workers/`. Nothing is loaded or started before the first task. */
export class WorkerPool<Task, Value> {
  readonly #worker: WorkerName
  readonly #options: PoolOptions
  #piscina: Promise<Piscina<Task, Answer<Value>>> | undefined
  /** Why a thread died outside of a task, which its tasks are not told. */
  #lastDeath: unknown
  #isClosed = false

  constructor(worker: WorkerName, options: PoolOptions) {
    this.#worker = worker
    this.#options = options
  }

  /**
   * Never takes a signal: piscina ends the thread to obey it, with all that runs there.
   * @throws ConvokeError the worker's own error, `worker_lost` when three threads died over this task, one after the
   * other, or `missing_dependency` when what it needs is not installed
   */
  async run(task: Task, transfer: readonly Transferable[] = []): Promise<Value> {
    if (this.#isClosed)
      throw new ConvokeError('worker_lost', `The pool of ${this.#worker} threads was closed.`)
    // What was handed over is gone with its thread; it cannot be sent again.
    const attempts = transfer.length === 0 ? maxAttempts : 1
    for (let attempt = 1; ; attempt++) {
      let answer: Answer<Value>
      // Asked again for each attempt: the first may have been the end of the threads that there were.
      const piscina = await this.#started()
      try {
        answer = await piscina.run(task, transfer.length === 0 ? {} : { transferList: transfer })
      } catch (cause) {
        // A worker answers errors as data: what is thrown is the thread's end, or a task that cannot be cloned.
        if (cause instanceof DOMException) throw cause
        if (attempt < attempts && !this.#isClosed) continue
        throw this.#lost(cause)
      }
      this.#lastDeath = undefined
      if (answer.isOk) return answer.value
      throw deserializeError(answer.error)
    }
  }

  #lost(ending: unknown): ConvokeError {
    const cause = this.#lastDeath ?? ending
    if (isMissing(cause)) return missing(this.#worker, cause)
    const message = `A ${this.#worker} thread ended before its task was done: ${messageOf(cause)}`
    return new ConvokeError('worker_lost', message, { cause })
  }

  async #started(): Promise<Piscina<Task, Answer<Value>>> {
    const starting = (this.#piscina ??= this.#start())
    try {
      return await starting
    } catch (cause) {
      // Tried anew by the next task: what was missing may be there by then.
      if (this.#piscina === starting) this.#piscina = undefined
      throw isMissing(cause) ? missing(this.#worker, cause) : cause
    }
  }

  async #start(): Promise<Piscina<Task, Answer<Value>>> {
    const piscina = await start<Task, Value>(this.#worker, this.#options)
    // Unheard, the event would end the process.
    piscina.on('error', (error) => (this.#lastDeath = error))
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
    // One that never started has nothing to close.
    await (await this.#piscina?.catch(() => undefined))?.close()
  }
}

async function start<Task, Value>(
  worker: WorkerName,
  { maxThreads, idleMs }: PoolOptions,
): Promise<Piscina<Task, Answer<Value>>> {
  const { Piscina } = await import('piscina')
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new Piscina<Task, Answer<Value>>({
    filename: new URL(`../../workers/${worker}.${extension}`, import.meta.url).href,
    minThreads: 0,
    maxThreads,
    idleTimeout: idleMs,
    maxQueue: Infinity,
    // Piscina's default would freeze the event loop of an idle worker, with its timers and check-points.
    atomics: 'disabled',
    recordTiming: false,
    ...threadExecArgv(),
  })
}

function isMissing(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED'
}

function missing(worker: WorkerName, cause: unknown): ConvokeError {
  const message = `A ${worker} thread cannot start, since a part of its packages is missing: ${messageOf(cause)}. Install them again, for this platform and this version of Node.`
  return new ConvokeError('missing_dependency', message, { cause })
}
