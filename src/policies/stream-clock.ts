/** The two clocks of a stream: until its first content, and between its chunks. */
import { maxTimerMs } from './deadline.ts'

export interface StreamLimits {
  firstChunkMs: number
  idleMs: number
}

/**
 * One timer for a whole stream: a chunk only notes the time, and the timer, when it rings, looks how long the silence
 * really was. Time is monotonic. The clock stands still while the reader lets chunks wait.
 */
export class StreamClock {
  readonly #limits: StreamLimits
  readonly #onExpire: (phase: 'firstChunk' | 'idle', limitMs: number) => void
  #timer: NodeJS.Timeout | undefined
  #sinceMs = performance.now()
  #phase: 'firstChunk' | 'idle' = 'firstChunk'
  #isPaused = false

  constructor(limits: StreamLimits, onExpire: (phase: 'firstChunk' | 'idle', limitMs: number) => void) {
    this.#limits = limits
    this.#onExpire = onExpire
    this.#arm(this.#limitMs)
  }

  /** Something came. Only content ends the wait for the first chunk, and nothing else prolongs it. */
  touch(isContent: boolean): void {
    if (!isContent && this.#phase === 'firstChunk') return
    this.#sinceMs = performance.now()
    if (!isContent || this.#phase === 'idle') return
    this.#phase = 'idle'
    this.#arm(this.#limitMs)
  }

  /** Stands still, and holds no process meanwhile. The timer goes on: a fast reader pauses it for microseconds. */
  pause(): void {
    this.#isPaused = true
    this.#timer?.unref()
  }

  resume(): void {
    this.#isPaused = false
    this.#sinceMs = performance.now()
    if (this.#timer) this.#timer.ref()
    else this.#arm(this.#limitMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  get #limitMs(): number {
    return this.#phase === 'idle' ? this.#limits.idleMs : this.#limits.firstChunkMs
  }

  #arm(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (delayMs > maxTimerMs) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isPaused) return
      const leftMs = this.#limitMs - (performance.now() - this.#sinceMs)
      if (leftMs > 0.5) this.#arm(leftMs)
      else this.#onExpire(this.#phase, this.#limitMs)
    }, delayMs)
  }
}
