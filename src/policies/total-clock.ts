/** The clock of a whole call: it starts with the first attempt, and retries and the next LLM of a fallback share it. */
import { maxTimerMs } from './deadline.ts'

/** When a call's first request was sent, shared by all that answer the call. */
export interface CallStart {
  /** By `performance.now()`. */
  startedAtMs?: number
}

export class TotalClock {
  readonly #totalMs: number
  readonly #callStart: CallStart
  readonly #onExpire: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(totalMs: number, callStart: CallStart, onExpire: () => void) {
    this.#totalMs = totalMs
    this.#callStart = callStart
    this.#onExpire = onExpire
  }

  /** Starts at the first attempt; later ones find it running. */
  start(): void {
    if (this.#timer || this.#totalMs > maxTimerMs) return
    const startedAtMs = (this.#callStart.startedAtMs ??= performance.now())
    const leftMs = this.#totalMs - (performance.now() - startedAtMs)
    this.#timer = setTimeout(this.#onExpire, Math.max(leftMs, 0))
  }

  /** Whether the clock holds the process open. It goes on either way. */
  hold(isHeld: boolean): void {
    if (isHeld) this.#timer?.ref()
    else this.#timer?.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
