/** A signal that aborts when the user's signal fires, when nothing was heard for too long, or when it is cancelled. */
import { onAbort } from './cancellation.ts'

/** Makes the abort reasons, so that the deadline need not know what it guards. */
export interface DeadlineErrors {
  /** @param cause the user's abort reason, or the argument of `cancel` */
  cancelled: (cause: unknown) => Error
  expired: (silenceMs: number) => Error
}

export class Deadline {
  readonly signal: AbortSignal
  /** Rejects with the signal's reason. To race against work that cannot listen to a signal. */
  readonly aborted: Promise<never>
  readonly #controller = new AbortController()
  readonly #errors: DeadlineErrors
  readonly #silenceMs: number
  #timer: NodeJS.Timeout | undefined
  readonly #stopListening: () => void

  /**
   * @param given the user's signal
   * @param silenceMs how long may pass between two calls of `touch`, in milliseconds
   */
  constructor(given: AbortSignal | undefined, silenceMs: number, errors: DeadlineErrors) {
    this.signal = this.#controller.signal
    this.#errors = errors
    this.#silenceMs = silenceMs
    this.aborted = new Promise((_, reject) => {
      onAbort(this.signal, reject)
    })
    this.aborted.catch(() => {})
    this.touch()
    this.#stopListening = onAbort(given, (reason) => this.cancel(reason))
  }

  /** Restarts the clock: the other side gave a sign of life. */
  touch(): void {
    clearTimeout(this.#timer)
    if (this.#silenceMs > maxTimerMs || this.signal.aborted) return
    const expire = () => this.#controller.abort(this.#errors.expired(this.#silenceMs))
    this.#timer = setTimeout(expire, this.#silenceMs)
  }

  /** Stops the clock until the next `touch`, while the caller is busy and the other side is not to blame. */
  pause(): void {
    clearTimeout(this.#timer)
  }

  cancel(cause: unknown): void {
    this.#controller.abort(this.#errors.cancelled(cause))
  }

  /** Ends the deadline after the work: removes the listener, and aborts whatever of the work is still open. */
  release(): void {
    clearTimeout(this.#timer)
    this.#stopListening()
    this.cancel(undefined)
  }
}

/** The longest delay that a Node timer takes, in milliseconds. A timer with a longer one fires at once. */
export const maxTimerMs = 2_147_483_647
