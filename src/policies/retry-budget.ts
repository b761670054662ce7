/** A token bucket of retries, so that a server that is down does not receive a storm of them. */

/** The most retries in a row that no success interrupts. */
const capacity = 50
/** The part of a retry that a success gives back: ten successes pay for one. */
const perSuccess = 0.1
/** Retries that come back with every second, so that a script with few calls never runs out. */
const perSecond = 0.5

export class RetryBudget {
  #tokens = capacity
  #filledAtMs = performance.now()

  /** Spends one retry; false when none is left. */
  trySpend(): boolean {
    const nowMs = performance.now()
    this.#tokens = Math.min(capacity, this.#tokens + ((nowMs - this.#filledAtMs) / 1_000) * perSecond)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** Gives a part of a retry back after a success. */
  refund(): void {
    this.#tokens = Math.min(capacity, this.#tokens + perSuccess)
  }
}
