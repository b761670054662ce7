/**
 * The way of every attempt to the vendor: circuit breaker → slot → rate permit. Each LLM has one.
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

/** About so many of the last replies make the average of output tokens. */
const averagedReplies = 50

/** An attempt, as far as its admission goes. */
export interface AdmissionRequest<Mode = unknown> {
  readonly request: ChatRequest
  readonly signal: AbortSignal
  /** The call was admitted before, so its retry may join a full queue. */
  readonly isRetry: boolean
  /** Sends the request. */
  run(mode: Mode): Promise<GenerateResponse>
  /** Tokens that the attempt cost although it failed. */
  spentTokens(error: unknown): number
}

export class Admission {
  readonly #limiter: Limiter
  readonly #rateLimit: RateLimit | undefined
  readonly #breaker: Breaker | undefined
  /** The average of the replies so far, for requests without `maxTokens`. */
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
   * Runs the attempt when a slot and a permit are free. The attempt holds its slot while it waits for the permit: no other
   * attempt could send either, and `maxQueue` bounds the whole queue that way.
   * @throws ConvokeError `queue_full`, `circuit_open`; the signal's reason when it fires in the queue
   */
  async execute<Mode>(attempt: AdmissionRequest<Mode>, mode: Mode): Promise<GenerateResponse> {
    // An open circuit ends the attempt before each queue, which would be a wait for nothing, and before the request.
    this.#breaker?.check()
    const { signal, isRetry } = attempt
    const rateLimit = this.#rateLimit
    const send = () => attempt.run(mode)
    if (!rateLimit) return this.#limiter.execute(() => this.#guarded(send), signal, isRetry)
    return this.#limiter.execute(() => this.#paced(send, rateLimit, attempt), signal, isRetry)
  }

  #guarded(send: () => Promise<GenerateResponse>): Promise<GenerateResponse> {
    return this.#breaker ? this.#breaker.execute(send) : send()
  }

  async #paced(
    send: () => Promise<GenerateResponse>,
    rateLimit: RateLimit,
    attempt: AdmissionRequest,
  ): Promise<GenerateResponse> {
    const { request, signal } = attempt
    this.#breaker?.check()
    const permit = await rateLimit.acquire(rateLimit.countsTokens ? this.#expected(request) : 0, signal)
    let isSent = false
    try {
      signal.throwIfAborted()
      const response = await this.#guarded(() => {
        isSent = true
        return send()
      })
      this.#average(response.usage.outputTokens)
      permit.settle(response.usage.totalTokens)
      return response
    } catch (error) {
      if (!isSent) permit.giveBack()
      else if (rateLimit.countsTokens) permit.settle(attempt.spentTokens(error))
      throw error
    }
  }

  /** An estimate of the tokens that a request will cost. */
  #expected(request: ChatRequest): number {
    return estimateInputTokens(request) + (request.maxTokens ?? Math.round(this.#outputTokens))
  }

  /** The mean of the first replies; later, a mean that follows the last ones. */
  #average(outputTokens: number): void {
    this.#replies = Math.min(this.#replies + 1, averagedReplies)
    this.#outputTokens += (outputTokens - this.#outputTokens) / this.#replies
  }
}
