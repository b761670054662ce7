/**
 * A clock that moves when it is told to; `performance.now`, `setTimeout` and `clearTimeout` follow it.
 *
 * vitest has fake timers as well, which serve where a timer has only to ring. They cannot ring early, as real timers
 * may, move `performance.now` without ringing, or act between a timer and the promises that it settles. Tests of
 * limits need all three.
 */
import type { TestContext } from 'vitest'

/** What the library uses of a timer. */
class Timer {
  readonly ringsAtMs: number
  readonly ring: () => void

  constructor(ringsAtMs: number, ring: () => void) {
    this.ringsAtMs = ringsAtMs
    this.ring = ring
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

export class FakeClock {
  nowMs = 5_000
  /** Milliseconds by which timers ring too early. */
  earlyMs = 0
  /** Runs behind each timer, before the promises that it settled are looked at. */
  onRing = () => {}
  /** The delays of all timers so far. */
  readonly delays: number[] = []
  readonly #timers = new Set<Timer>()

  /** Replaces the real clock until the test ends. */
  constructor(context: TestContext) {
    const now = () => this.nowMs
    const set = (ring: () => void, delayMs: number) => {
      this.delays.push(delayMs)
      const timer = new Timer(this.nowMs + Math.max(delayMs - this.earlyMs, 0.5), ring)
      this.#timers.add(timer)
      return timer
    }
    const clear = (timer: Timer) => this.#timers.delete(timer)
    const real = { now: performance.now, set: globalThis.setTimeout, clear: globalThis.clearTimeout }
    Object.assign(performance, { now })
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear })
    context.onTestFinished(() => {
      Object.assign(performance, { now: real.now })
      Object.assign(globalThis, { setTimeout: real.set, clearTimeout: real.clear })
    })
  }

  /** The number of timers that are set. */
  get pending(): number {
    return this.#timers.size
  }

  /** Rings each timer that is due on the way at its own time, and waits for all that follows from it. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.nowMs + byMs
    for (;;) {
      await settled()
      const [timer] = [...this.#timers].sort((one, other) => one.ringsAtMs - other.ringsAtMs)
      if (!timer || timer.ringsAtMs > untilMs) break
      this.#timers.delete(timer)
      this.nowMs = timer.ringsAtMs
      timer.ring()
      this.onRing()
    }
    this.nowMs = untilMs
    await settled()
  }
}

/** Waits until everything has happened that waits for no clock. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
