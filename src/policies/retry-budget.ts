/** A token bucket that retries draw from, so that a vendor that is down is not stormed by its callers' retries. */

/** Retries that may follow failures without a success between them. */
const capacity = 50
/** What a success gives back: one retry for ten of them. */
const perSuccess = 0.1
/** What time gives back, so that a script with few calls never runs dry. */
const perSecond = 0.5

export class RetryBudget {
  #tokens = capacity
  #filledAtMs = performance.now()

  /** Takes one retry; false when none is left. */
  take(): boolean {
    const nowMs = performance.now()
    this.#tokens = Math.min(capacity, this.#tokens + ((nowMs - this.#filledAtMs) / 1_000) * perSecond)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  /** A success pays back. */
  refund(): void {
    this.#tokens = Math.min(capacity, this.#tokens + perSuccess)
  }
}
