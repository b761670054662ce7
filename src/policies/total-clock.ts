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
  #isHeld = true

  constructor(totalMs: number, callStart: CallStart, onExpire: () => void) {
    this.#totalMs = totalMs
    this.#callStart = callStart
    this.#onExpire = onExpire
  }

  /** Starts at the first attempt; later ones find it running. */
  start(): void {
    if (this.#timer || this.#totalMs > maxTimerMs) return
    this.#arm(this.#leftMs())
  }

  /** Whether the clock holds the process open. It goes on either way. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
    if (isHeld) this.#timer?.ref()
    else this.#timer?.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #leftMs(): number {
    const startedAtMs = (this.#callStart.startedAtMs ??= performance.now())
    return this.#totalMs - (performance.now() - startedAtMs)
  }

  /** A timer may ring up to a millisecond early: the next LLM of a fallback would still be asked then, for nothing. */
  #arm(delayMs: number): void {
    this.#timer = setTimeout(
      () => {
        const leftMs = this.#leftMs()
        if (leftMs > 0) this.#arm(leftMs)
        else this.#onExpire()
      },
      Math.max(Math.ceil(delayMs), 0),
    )
    if (!this.#isHeld) this.#timer.unref()
  }
}
