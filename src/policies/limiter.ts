/** Limits how many calls run at once. The others wait in a queue of limited length, first come, first served. */
import { ConvokeError } from '../errors.ts'
import { onAbort } from './cancellation.ts'

export class Limiter {
  readonly #maxConcurrent: number
  readonly #maxQueue: number
  #running = 0
  /**
   * One function for each waiting call, in order, that gives it its slot. A Set removes any of them in constant time.
   */
  readonly #queue = new Set<() => void>()

  constructor(maxConcurrent: number, maxQueue: number) {
    this.#maxConcurrent = maxConcurrent
    this.#maxQueue = maxQueue
  }

  get running(): number {
    return this.#running
  }

  get queued(): number {
    return this.#queue.size
  }

  /**
   * Runs `fn` as soon as a slot is free, and holds the slot until it settles.
   * @param mayExceed joins the queue even when it is full: for a retry, whose call was admitted before
   * @throws ConvokeError `queue_full` at once when the queue is full; the signal's reason when it fires during the wait
   */
  async execute<T>(fn: () => Promise<T>, signal: AbortSignal, mayExceed = false): Promise<T> {
    signal.throwIfAborted()
    if (this.#running < this.#maxConcurrent) this.#running++
    else await this.#waitForSlot(signal, mayExceed)
    try {
      signal.throwIfAborted()
      return await fn()
    } finally {
      this.#release()
    }
  }

  #waitForSlot(signal: AbortSignal, mayExceed: boolean): Promise<void> {
    if (this.#queue.size >= this.#maxQueue && !mayExceed) {
      throw new ConvokeError(
        'queue_full',
        `${this.#running} calls are running and ${this.#queue.size} wait, which is maxQueue. Make fewer calls at once, or raise maxConcurrent or maxQueue.`,
      )
    }
    return new Promise((resolve, reject) => {
      const start = () => {
        stop()
        resolve()
      }
      const stop = onAbort(signal, (reason) => {
        this.#queue.delete(start)
        reject(reason as Error)
      })
      this.#queue.add(start)
    })
  }

  /** Hands the slot to the first call in the queue, or frees it. */
  #release(): void {
    const [next] = this.#queue
    if (!next) {
      this.#running--
      return
    }
    this.#queue.delete(next)
    next()
  }
}
