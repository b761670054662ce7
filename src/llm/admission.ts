/**
 * Admits the attempts of one LLM to the vendor: circuit breaker → slot → rate permit.
 *
 * Room `llm`: one LLM, and one call from the facade to the provider. Imported by `blocking/thread`, `combinators`,
 * `index`, `session`.
 */
import { Breaker } from '../policies/breaker.ts'
import { Limiter } from '../policies/limiter.ts'
import { RateLimit } from '../policies/rate-limit.ts'
import type { ChatRequest } from '../provider.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import { estimateInputTokens } from '../tokens/count-tokens.ts'
import type { GenerateResponse } from '../types.ts'

/** About so many of the last replies count in the average of output tokens. */
const averagedReplies = 50

/** The part of an attempt that its admission needs. */
export interface AdmissionRequest<Mode = unknown> {
  readonly request: ChatRequest
  readonly signal: AbortSignal
  /** A retry may join a full queue, since its call was admitted before. */
  readonly isRetry: boolean
  /** Sends the request. */
  run(mode: Mode): Promise<GenerateResponse>
  /** The tokens that a failed attempt has cost. */
  spentTokens(error: unknown): number
}

export class Admission {
  readonly #limiter: Limiter
  readonly #rateLimit: RateLimit | undefined
  readonly #breaker: Breaker | undefined
  /** The average output tokens of the replies so far. They are expected of requests without `maxTokens`. */
  #outputTokens = 0
  #replies = 0

  constructor({ maxConcurrent = 10, maxQueue = 1_000, rateLimit, circuitBreaker = false }: LLMOptions) {
    this.#limiter = new Limiter(maxConcurrent, maxQueue)
    if (rateLimit) this.#rateLimit = new RateLimit(rateLimit)
    if (circuitBreaker) this.#breaker = new Breaker(circuitBreaker === true ? {} : circuitBreaker)
  }

  get running(): number {
    return this.#limiter.running
  }

  get queued(): number {
    return this.#limiter.queued
  }

  /**
   * Runs the attempt as soon as a slot and a rate permit are free. The attempt holds its slot while it waits for the permit.
   * No other attempt could be sent meanwhile, and this way `maxQueue` limits all attempts that wait.
   * @throws ConvokeError `queue_full`, `circuit_open`; the signal's reason when it fires in the queue
   */
  async execute<Mode>(attempt: AdmissionRequest<Mode>, mode: Mode): Promise<GenerateResponse> {
    // An open circuit is checked before each queue, so that no attempt waits in vain, and again before the request.
    this.#breaker?.check()
    const { signal, isRetry } = attempt
    const rateLimit = this.#rateLimit
    const send = () => attempt.run(mode)
    if (!rateLimit) return this.#limiter.execute(() => this.#sendThroughBreaker(send), signal, isRetry)
    return this.#limiter.execute(() => this.#sendWithPermit(send, rateLimit, attempt), signal, isRetry)
  }

  #sendThroughBreaker(send: () => Promise<GenerateResponse>): Promise<GenerateResponse> {
    return this.#breaker ? this.#breaker.execute(send) : send()
  }

  async #sendWithPermit(
    send: () => Promise<GenerateResponse>,
    rateLimit: RateLimit,
    attempt: AdmissionRequest,
  ): Promise<GenerateResponse> {
    const { request, signal } = attempt
    this.#breaker?.check()
    const permit = await rateLimit.acquire(rateLimit.countsTokens ? this.#estimateTokens(request) : 0, signal)
    let isSent = false
    try {
      signal.throwIfAborted()
      const response = await this.#sendThroughBreaker(() => {
        isSent = true
        return send()
      })
      this.#updateAverage(response.usage.outputTokens)
      permit.settle(response.usage.totalTokens)
      return response
    } catch (error) {
      if (!isSent) permit.giveBack()
      else if (rateLimit.countsTokens) permit.settle(attempt.spentTokens(error))
      throw error
    }
  }

  /** Estimates the input and output tokens of a request. */
  #estimateTokens(request: ChatRequest): number {
    return estimateInputTokens(request) + (request.maxTokens ?? Math.round(this.#outputTokens))
  }

  /** The mean of all replies at first; after `averagedReplies` it follows the latest ones. */
  #updateAverage(outputTokens: number): void {
    this.#replies = Math.min(this.#replies + 1, averagedReplies)
    this.#outputTokens += (outputTokens - this.#outputTokens) / this.#replies
  }
}
