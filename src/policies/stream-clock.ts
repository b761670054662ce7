/** The two time limits of a stream: until its first content, and between two chunks. */
import { maxTimerMs } from './deadline.ts'

/** In milliseconds. `Infinity` switches a limit off. */
export interface StreamLimits {
  firstChunkMs: number
  idleMs: number
}

/**
 * Uses one timer for a whole stream, because a timer for each chunk would cost too much: a chunk only notes the time,
 * and the timer, when it fires, computes how long the silence really was. Time is monotonic. While the reader lets
 * chunks wait, the clock is paused.
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

  /**
   * Notes that something arrived. Before the first content, anything else changes nothing; later it restarts the clock.
   */
  touch(isContent: boolean): void {
    if (!isContent && this.#phase === 'firstChunk') return
    this.#sinceMs = performance.now()
    if (!isContent || this.#phase === 'idle') return
    this.#phase = 'idle'
    this.#arm(this.#limitMs)
  }

  /**
   * Stops the clock, and lets the process exit meanwhile. The timer itself is kept, because a fast reader pauses for
   * microseconds only.
   */
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
