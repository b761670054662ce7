/**
 * A circuit breaker: after several failures in a row it sends nothing for a while, and then a single probe.
 *
 * Room `policies`: retries, limits, clocks and cancellation, which know nothing of vendors and of HTTP. Imported by
 * `combinators`, `consensus`, `fan-out`, `llm`, `session`, `transport`.
 */
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { CircuitBreakerOptions } from '../options/generate-options.ts'

/**
 * How long a probe keeps other attempts out. A probe may hang, or be a long stream that is read slowly; after this time
 * the next attempt becomes a second probe.
 */
const longestProbeMs = 60_000

/**
 * The end of an attempt, as evidence about the server. `success`: it gave a whole reply. `answer`: it answered, but
 * with a refusal. `failure`: it failed. `unrelated`: the end was not its doing (a cancel, for example).
 */
type Outcome = 'success' | 'answer' | 'failure' | 'unrelated'

interface Attempt {
  /** The value of `#period` when the attempt began. */
  period: number
}

export class Breaker {
  readonly #maxFailures: number
  readonly #cooldownMs: number
  /** Failures without a success between them. */
  #failures = 0
  #lastFailure: ConvokeError | undefined
  #isOpen = false
  /** While the circuit is open: when the next attempt may probe, by the monotonic clock. */
  #nextProbeAtMs = 0
  /** The last attempt that was let through while the circuit was open. */
  #probe: Attempt | undefined
  /** Grows with every opening and closing, so that attempts from before can be told from those after. */
  #period = 0

  constructor({ failures = 5, cooldownMs = 30_000 }: CircuitBreakerOptions = {}) {
    this.#maxFailures = failures
    this.#cooldownMs = cooldownMs
  }

  /**
   * Asks without sending anything, so that an attempt need not wait in a queue only to be refused at its end.
   * @throws ConvokeError `circuit_open` while nothing may be sent
   */
  check(): void {
    if (this.#isOpen && performance.now() < this.#nextProbeAtMs) throw this.#refusal()
  }

  /**
   * Runs `fn` at once, and counts how it ends.
   * @throws ConvokeError `circuit_open` while nothing may be sent, without running `fn`
   */
  async execute<T>(fn: () => Promise<T>): Promise<T> {
    const attempt = this.#begin()
    try {
      const result = await fn()
      this.#record(attempt, 'success')
      return result
    } catch (error) {
      this.#record(attempt, outcomeOf(error), error)
      throw error
    }
  }

  #begin(): Attempt {
    this.check()
    const attempt = { period: this.#period }
    if (this.#isOpen) {
      this.#probe = attempt
      this.#nextProbeAtMs = performance.now() + Math.max(this.#cooldownMs, longestProbeMs)
    }
    return attempt
  }

  /**
   * Ignores attempts that began in an earlier period. Ten attempts that fail together therefore open the circuit once
   * and do not prolong it; a stream that began before the failures and ends well does not close it; and neither counts
   * after a probe has closed it. While the circuit is open, only probes count.
   */
  #record(attempt: Attempt, outcome: Outcome, error?: unknown): void {
    if (attempt.period !== this.#period) return
    switch (outcome) {
      case 'success':
        this.#failures = 0
        if (this.#isOpen) this.#close()
        break
      case 'answer':
        // The server is alive, so the circuit may close. It is not a reply, so it does not end a row of failures.
        if (this.#isOpen) this.#close()
        break
      case 'failure':
        this.#failures++
        this.#lastFailure = withoutPartial(error as ConvokeError)
        // The count is reset only by a success or by closing, so a failed probe opens the circuit again at once.
        if (this.#failures >= this.#maxFailures) this.#open()
        break
      case 'unrelated':
        if (attempt === this.#probe) this.#allowProbe()
        break
      default:
        outcome satisfies never
    }
  }

  /** Opens the circuit, or keeps it open for another cool-down. */
  #open(): void {
    if (!this.#isOpen) this.#period++
    this.#isOpen = true
    this.#probe = undefined
    this.#nextProbeAtMs = performance.now() + this.#cooldownMs
  }

  #close(): void {
    this.#period++
    this.#isOpen = false
    this.#probe = undefined
    this.#failures = 0
    this.#lastFailure = undefined
  }

  #allowProbe(): void {
    this.#probe = undefined
    this.#nextProbeAtMs = performance.now()
  }

  #refusal(): ConvokeError {
    const last = this.#lastFailure as ConvokeError
    const status = last.status === undefined ? '' : ` (status ${last.status})`
    const failed = `The circuit is open after ${this.#failures} failures in a row, the last one ${last.code}${status}.`
    // Nobody knows how long a probe takes. A whole cool-down is the safe guess: a caller that comes too early is
    // refused.
    const waitMs = this.#probe ? this.#cooldownMs : Math.ceil(this.#nextProbeAtMs - performance.now())
    const next = this.#probe
      ? 'One request is testing the vendor now; nothing else is sent until it ends.'
      : `Nothing is sent for another ${Math.ceil(waitMs / 1_000)} s.`
    return new ConvokeError('circuit_open', `${failed} ${next}`, {
      retryAfterMs: waitMs,
      cause: last,
    })
  }
}

function outcomeOf(error: unknown): Outcome {
  if (!isConvokeError(error)) return 'unrelated'
  switch (error.code) {
    case 'connection':
    case 'overloaded':
    case 'server_error':
    case 'stream_truncated':
    case 'malformed_response':
      return 'failure'
    case 'timeout':
      return error.phase === 'total' ? 'unrelated' : 'failure'
    case 'invalid_output':
      return 'success'
    case 'rate_limited':
    case 'authentication':
    case 'permission':
    case 'model_not_found':
    case 'context_length_exceeded':
    case 'content_filtered':
    case 'budget_exceeded':
      return 'answer'
    default:
      // A request that was refused before it was sent has no status.
      return error.status === undefined ? 'unrelated' : 'answer'
  }
}

/** A copy without the partial response, because callers other than the one who received it will see this error. */
function withoutPartial(error: ConvokeError): ConvokeError {
  const { code, message, provider, model, status, phase, isRetryable, retryAfterMs, cause } = error
  const copy = new ConvokeError(code, message, { isRetryable, cause })
  // Assigned, not passed: the constructor would put the provider in front of the message a second time.
  const known = Object.entries({ provider, model, status, phase, retryAfterMs })
  return Object.assign(copy, Object.fromEntries(known.filter(([, value]) => value !== undefined)))
}
