/**
 * Pools of worker threads, on piscina, which only this file imports. A task is plain data. It may run more than once, since
 * its thread may die after the work and before the answer, so workers make a repeated task land once. Idle threads never
 * keep the process from exiting.
 */
import type { Piscina } from 'piscina'
import type { Transferable } from 'node:worker_threads'
import { ConvokeError, messageOf } from '../errors.ts'
import { deserializeError } from './serialize-error.ts'
import type { Answer } from './answer.ts'
import { threadExecArgv } from './exec-argv.ts'

/** A file of `workers/`, without its extension. */
export type WorkerName = 'tokenize' | 'sqlite'

export interface PoolOptions {
  /** Most threads. They are started on demand. */
  maxThreads: number
  /** Milliseconds after which an idle thread ends. `Infinity` keeps it. */
  idleMs: number
}

/**
 * Threads that one task may lose. One retry is not enough, since what ended the first thread may end the second as well. A
 * task that itself ends its threads is lost after three.
 */
const maxAttempts = 3

/** Threads that run one file of `workers/`. Nothing is loaded or started before the first task. */
export class WorkerPool<Task, Value> {
  readonly #worker: WorkerName
  readonly #options: PoolOptions
  #piscina: Promise<Piscina<Task, Answer<Value>>> | undefined
  /** The error by which a thread last died outside of a task. Piscina does not give it to the tasks that are lost with it. */
  #lastDeath: unknown
  #isClosed = false

  constructor(worker: WorkerName, options: PoolOptions) {
    this.#worker = worker
    this.#options = options
  }

  /**
   * Runs a task. It takes no signal, because piscina would end the thread, with all that runs there, to obey it.
   * @param transfer objects to be moved to the thread. Such a task is tried once, since they are lost with the thread
   * @throws ConvokeError the worker's own error; `worker_lost` when three threads died over this task, one after the
   * other; `missing_dependency` when a package that the worker needs is not installed
   */
  async run(task: Task, transfer: readonly Transferable[] = []): Promise<Value> {
    if (this.#isClosed)
      throw new ConvokeError('worker_lost', `The pool of ${this.#worker} threads was closed.`)
    const attempts = transfer.length === 0 ? maxAttempts : 1
    for (let attempt = 1; ; attempt++) {
      let answer: Answer<Value>
      // The pool is taken anew for each attempt, since the last one may have ended it.
      const piscina = await this.#started()
      try {
        answer = await piscina.run(task, transfer.length === 0 ? {} : { transferList: transfer })
      } catch (cause) {
        // Workers return errors as data. An exception means that the thread ended, or that the task cannot be cloned.
        if (cause instanceof DOMException) throw cause
        if (attempt < attempts && !this.#isClosed) continue
        throw this.#lost(cause)
      }
      this.#lastDeath = undefined
      if (answer.isOk) return answer.value
      throw deserializeError(answer.error)
    }
  }

  #lost(error: unknown): ConvokeError {
    const cause = this.#lastDeath ?? error
    if (isMissingPackage(cause)) return missingPackage(this.#worker, cause)
    const message = `A ${this.#worker} thread ended before its task was done: ${messageOf(cause)}`
    return new ConvokeError('worker_lost', message, { cause })
  }

  async #started(): Promise<Piscina<Task, Answer<Value>>> {
    const starting = (this.#piscina ??= this.#start())
    try {
      return await starting
    } catch (cause) {
      // The next task tries again: the missing package may be installed by then.
      if (this.#piscina === starting) this.#piscina = undefined
      throw isMissingPackage(cause) ? missingPackage(this.#worker, cause) : cause
    }
  }

  async #start(): Promise<Piscina<Task, Answer<Value>>> {
    const piscina = await start<Task, Value>(this.#worker, this.#options)
    // Without a listener the event would end the process.
    piscina.on('error', (error) => (this.#lastDeath = error))
    piscina.on('workerDestroy', () => {
      // By then the tasks of the dead thread have been repeated, and have threads.
      setImmediate(() => this.#dropIfStuck(piscina))
    })
    return piscina
  }

  /** Tasks that wait for a thread which dies while it starts are forgotten by piscina, and would wait for ever. */
  #dropIfStuck(piscina: Piscina<Task, Answer<Value>>): void {
    if (piscina.threads.length > 0 || piscina.queueSize === 0) return
    if (!this.#isClosed) this.#piscina = undefined
    // This rejects the waiting tasks, and `run` gives them to new threads.
    void piscina.destroy()
  }

  /** Waits for all tasks, then ends the threads. */
  async close(): Promise<void> {
    this.#isClosed = true
    // A pool that never started has nothing to close.
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
    // With piscina's default an idle worker would block its event loop, and so its timers and the checkpoints of its log.
    atomics: 'disabled',
    recordTiming: false,
    ...threadExecArgv(),
  })
}

function isMissingPackage(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED'
}

function missingPackage(worker: WorkerName, cause: unknown): ConvokeError {
  const message = `A ${worker} thread cannot start, since a package that it needs is missing: ${messageOf(cause)}. Install the packages again, for this platform and this version of Node.`
  return new ConvokeError('missing_dependency', message, { cause })
}
