/** A signal that follows the user's, a clock that every sign of life restarts, and its owner's word. */
import { onAbort } from './cancellation.ts'

export interface DeadlineErrors {
  cancelled: (cause: unknown) => Error
  expired: (silenceMs: number) => Error
}

export class Deadline {
  readonly signal: AbortSignal
  /** Rejects with the signal's reason, for those who wait for something that does not listen to it. */
  readonly aborted: Promise<never>
  readonly #controller = new AbortController()
  readonly #errors: DeadlineErrors
  readonly #silenceMs: number
  #timer: NodeJS.Timeout | undefined
  readonly #stopListening: () => void

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

  /** Something came: the clock starts again. */
  touch(): void {
    clearTimeout(this.#timer)
    if (this.#silenceMs > maxTimerMs || this.signal.aborted) return
    const expire = () => this.#controller.abort(this.#errors.expired(this.#silenceMs))
    this.#timer = setTimeout(expire, this.#silenceMs)
  }

  /** The caller is at work, and the other side not to blame. */
  pause(): void {
    clearTimeout(this.#timer)
  }

  cancel(cause: unknown): void {
    this.#controller.abort(this.#errors.cancelled(cause))
  }

  /** The work is done, one way or the other: lets go of the user's signal, and closes what is still open. */
  release(): void {
    clearTimeout(this.#timer)
    this.#stopListening()
    this.cancel(undefined)
  }
}

/** Longest delay that a Node timer takes, in milliseconds; a longer one would ring at once. */
export const maxTimerMs = 2_147_483_647
