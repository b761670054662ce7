/** A clock that tests move. `performance.now`, `setTimeout` and `clearTimeout` follow it. */
import type { TestContext } from 'node:test'

interface Timer {
  ringsAtMs: number
  ring: () => void
}

export class FakeClock {
  nowMs = 5_000
  /** Milliseconds by which timers fire too early, as real ones may. */
  earlyMs = 0
  /** Called right after each timer, before the reactions to promises that the timer settled. */
  onRing = () => {}
  /** The delays of all timers so far. */
  readonly delays: number[] = []
  readonly #timers = new Map<number, Timer>()
  #count = 0

  /** Replaces the real clock until the test ends. */
  constructor(context: TestContext) {
    const now = () => this.nowMs
    const set = (ring: () => void, delayMs: number) => {
      this.delays.push(delayMs)
      this.#timers.set(++this.#count, { ringsAtMs: this.nowMs + Math.max(delayMs - this.earlyMs, 0.5), ring })
      return this.#count
    }
    const clear = (id: number) => this.#timers.delete(id)
    const real = { now: performance.now, set: globalThis.setTimeout, clear: globalThis.clearTimeout }
    Object.assign(performance, { now })
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear })
    context.after(() => {
      Object.assign(performance, { now: real.now })
      Object.assign(globalThis, { setTimeout: real.set, clearTimeout: real.clear })
    })
  }

  /** The number of timers that are set. */
  get pending(): number {
    return this.#timers.size
  }

  /** Moves the clock. Fires the timers that are due, each at its own time, and waits for the reactions to each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.nowMs + byMs
    for (;;) {
      await settled()
      const [id, timer] = [...this.#timers].sort(([, a], [, b]) => a.ringsAtMs - b.ringsAtMs)[0] ?? []
      if (id === undefined || !timer || timer.ringsAtMs > untilMs) break
      this.#timers.delete(id)
      this.nowMs = timer.ringsAtMs
      timer.ring()
      this.onRing()
    }
    this.nowMs = untilMs
    await settled()
  }
}

/** Resolves after everything that waits for no timer has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
