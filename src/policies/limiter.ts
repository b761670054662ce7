/** At most so many at once; the rest wait in line, and the line has an end. */
import { ConvokeError } from '../errors.ts'
import { onAbort } from './cancellation.ts'

export class Limiter {
  readonly #maxConcurrent: number
  readonly #maxQueue: number
  #running = 0
  /** Waiting starts, in order; a Set gives up any of them at once. */
  readonly #waiting = new Set<() => void>()

  constructor(maxConcurrent: number, maxQueue: number) {
    this.#maxConcurrent = maxConcurrent
    this.#maxQueue = maxQueue
  }

  get running(): number {
    return this.#running
  }

  get queued(): number {
    return this.#waiting.size
  }

  /**
   * Runs `fn` as soon as a slot is free, and holds the slot until it settles. One that `mayExceed` joins the line even
   * when it is full: it was admitted before.
   * @throws ConvokeError `queue_full` at once when the line is full; the signal's reason when it aborts in line
   */
  async execute<T>(fn: () => Promise<T>, signal: AbortSignal, mayExceed = false): Promise<T> {
    signal.throwIfAborted()
    if (this.#running < this.#maxConcurrent) this.#running++
    else await this.#turn(signal, mayExceed)
    try {
      signal.throwIfAborted()
      return await fn()
    } finally {
      this.#release()
    }
  }

  #turn(signal: AbortSignal, mayExceed: boolean): Promise<void> {
    if (this.#waiting.size >= this.#maxQueue && !mayExceed) {
      throw new ConvokeError(
        'queue_full',
        `${this.#running} calls are running and ${this.#waiting.size} wait: maxQueue is reached. Call less, or raise maxConcurrent or maxQueue.`,
      )
    }
    return new Promise((resolve, reject) => {
      const start = () => {
        stop()
        resolve()
      }
      const stop = onAbort(signal, (reason) => {
        this.#waiting.delete(start)
        reject(reason as Error)
      })
      this.#waiting.add(start)
    })
  }

  /** Gives the slot to the first in line, or frees it. */
  #release(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#running--
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
