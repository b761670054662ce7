/** After so many failures in a row nothing is sent for a while; then one attempt probes whether the vendor lives. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { CircuitBreakerOptions } from '../options/generate-options.ts'

/**
 * A probe that hangs, or a long stream that is read slowly, keeps the others out no longer than this; then the next
 * one probes beside it.
 */
const longestProbeMs = 60_000

/**
 * What the end of an attempt says of the vendor: it gave a whole reply, it answered (with a refusal, say), it failed,
 * or nothing, since the end was not its doing.
 */
type BreakerSignal = 'success' | 'answer' | 'failure' | 'nothing'

interface Attempt {
  /** The period in which it began. */
  period: number
}

export class Breaker {
  readonly #maxFailures: number
  readonly #cooldownMs: number
  /** Failures without a success between them. */
  #failures = 0
  #lastFailure: ConvokeError | undefined
  #isOpen = false
  /** While open: when the next attempt may probe. Time is monotonic. */
  #nextTryAtMs = 0
  /** The attempt that was let through last while open. */
  #probe: Attempt | undefined
  /** Counts openings and closings. */
  #period = 0

  constructor({ failures = 5, cooldownMs = 30_000 }: CircuitBreakerOptions = {}) {
    this.#maxFailures = failures
    this.#cooldownMs = cooldownMs
  }

  /**
   * Spares an attempt the wait in a line, where it would be refused at the end of it.
   * @throws ConvokeError `circuit_open` while nothing may be sent
   */
  check(): void {
    if (this.#isOpen && performance.now() < this.#nextTryAtMs) throw this.#refusal()
  }

  /**
   * Runs `fn` at once, and learns from its end.
   * @throws ConvokeError `circuit_open` while nothing may be sent, without running `fn`
   */
  async execute<T>(fn: () => Promise<T>): Promise<T> {
    const attempt = this.#admit()
    try {
      const result = await fn()
      this.#judge(attempt, 'success')
      return result
    } catch (error) {
      this.#judge(attempt, verdictOn(error), error)
      throw error
    }
  }

  #admit(): Attempt {
    this.check()
    const attempt = { period: this.#period }
    if (this.#isOpen) {
      this.#probe = attempt
      this.#nextTryAtMs = performance.now() + Math.max(this.#cooldownMs, longestProbeMs)
    }
    return attempt
  }

  /**
   * An attempt that began before the circuit opened or closed is late: ten that run at once and fail together open it
   * once and do not prolong it; a stream from better days that ends well does not close it while new requests fail;
   * and neither counts once a probe has closed it. So whatever counts while it is open is a probe.
   */
  #judge(attempt: Attempt, verdict: BreakerSignal, error?: unknown): void {
    if (attempt.period !== this.#period) return
    switch (verdict) {
      case 'success':
        this.#failures = 0
        if (this.#isOpen) this.#close()
        break
      case 'answer':
        // It proves life, which closes; it is no reply, and so does not end a row of failures.
        if (this.#isOpen) this.#close()
        break
      case 'failure':
        this.#failures++
        this.#lastFailure = withoutReply(error as ConvokeError)
        // Only closing takes the count back, and so every probe that fails opens anew.
        if (this.#failures >= this.#maxFailures) this.#open()
        break
      case 'nothing':
        if (attempt === this.#probe) this.#letNextProbe()
        break
      default:
        verdict satisfies never
    }
  }

  /** Opens, or stays open for another while. */
  #open(): void {
    if (!this.#isOpen) this.#period++
    this.#isOpen = true
    this.#probe = undefined
    this.#nextTryAtMs = performance.now() + this.#cooldownMs
  }

  #close(): void {
    this.#period++
    this.#isOpen = false
    this.#probe = undefined
    this.#failures = 0
    this.#lastFailure = undefined
  }

  #letNextProbe(): void {
    this.#probe = undefined
    this.#nextTryAtMs = performance.now()
  }

  #refusal(): ConvokeError {
    const last = this.#lastFailure as ConvokeError
    const status = last.status === undefined ? '' : ` (status ${last.status})`
    const failed = `The circuit is open after ${this.#failures} failures in a row, the last one ${last.code}${status}.`
    // How long a probe takes is not known: better that a caller comes back late than in vain.
    const waitMs = this.#probe ? this.#cooldownMs : Math.ceil(this.#nextTryAtMs - performance.now())
    const next = this.#probe
      ? 'One request is trying the vendor now'
      : `The next request is sent in ${Math.ceil(waitMs / 1_000)} s`
    return new ConvokeError('circuit_open', `${failed} ${next}; until then none is.`, {
      retryAfterMs: waitMs,
      cause: last,
    })
  }
}

function verdictOn(error: unknown): BreakerSignal {
  if (!isConvokeError(error)) return 'nothing'
  switch (error.code) {
    case 'connection':
    case 'overloaded':
    case 'server_error':
    case 'stream_truncated':
    case 'malformed_response':
      return 'failure'
    case 'timeout':
      return error.phase === 'total' ? 'nothing' : 'failure'
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
      return error.status === undefined ? 'nothing' : 'answer'
  }
}

/** The failure without what had arrived: other callers see it than the one whose reply it was. */
function withoutReply(error: ConvokeError): ConvokeError {
  const { code, message, provider, model, status, phase, isRetryable, retryAfterMs, cause } = error
  const copy = new ConvokeError(code, message, { isRetryable, cause })
  // The message names the provider already.
  const known = Object.entries({ provider, model, status, phase, retryAfterMs })
  return Object.assign(copy, Object.fromEntries(known.filter(([, value]) => value !== undefined)))
}
