/** What every attempt passes on its way to the vendor: circuit breaker → slot → rate permit. One per LLM. */
import { Breaker } from '../policies/breaker.ts'
import { Limiter } from '../policies/limiter.ts'
import { RateLimit } from '../policies/rate-limit.ts'
import type { ChatRequest } from '../provider.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import { estimateInputTokens } from '../tokens/count-tokens.ts'
import type { GenerateResponse } from '../types.ts'

/** Replies that the average of output tokens looks back on, about. */
const averagedReplies = 50

/** An attempt as the gate sees it. */
export interface AdmissionRequest {
  request: ChatRequest
  signal: AbortSignal
  /** It was admitted before, and joins a full line. */
  isRetry: boolean
  /** Tokens that the attempt spent although it failed. */
  spent: (error: unknown) => number
}

type Attempt = () => Promise<GenerateResponse>

export class Admission {
  readonly #limiter: Limiter
  readonly #rateLimit: RateLimit | undefined
  readonly #breaker: Breaker | undefined
  /** Of the replies so far, for requests that do not say how long theirs may become. */
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
   * Runs the attempt when it is its turn. The slot is held while it waits for its permit: nobody else could send
   * either, and so the whole line is bounded by `maxQueue`.
   * @throws ConvokeError `queue_full`, `circuit_open`; the signal's reason when it aborts in line
   */
  async execute(attempt: Attempt, admissionRequest: AdmissionRequest): Promise<GenerateResponse> {
    // Asked in front of each line, since none is worth waiting in, and for good right before the request.
    this.#breaker?.check()
    const { signal, isRetry } = admissionRequest
    const rateLimit = this.#rateLimit
    if (!rateLimit) return this.#limiter.execute(() => this.#guarded(attempt), signal, isRetry)
    return this.#limiter.execute(() => this.#paced(attempt, rateLimit, admissionRequest), signal, isRetry)
  }

  #guarded(attempt: Attempt): Promise<GenerateResponse> {
    return this.#breaker ? this.#breaker.execute(attempt) : attempt()
  }

  async #paced(
    attempt: Attempt,
    rateLimit: RateLimit,
    admissionRequest: AdmissionRequest,
  ): Promise<GenerateResponse> {
    const { request, signal, spent } = admissionRequest
    this.#breaker?.check()
    const permit = await rateLimit.acquire(rateLimit.countsTokens ? this.#expected(request) : 0, signal)
    let isSent = false
    try {
      signal.throwIfAborted()
      const response = await this.#guarded(() => {
        isSent = true
        return attempt()
      })
      this.#average(response.usage.outputTokens)
      permit.settle(response.usage.totalTokens)
      return response
    } catch (error) {
      if (!isSent) permit.giveBack()
      else if (rateLimit.countsTokens) permit.settle(spent(error))
      throw error
    }
  }

  /** What a request will spend, as far as one can know. */
  #expected(request: ChatRequest): number {
    return estimateInputTokens(request) + (request.maxTokens ?? Math.round(this.#outputTokens))
  }

  /** The mean of the first replies, which then follows the later ones. */
  #average(outputTokens: number): void {
    this.#replies = Math.min(this.#replies + 1, averagedReplies)
    this.#outputTokens += (outputTokens - this.#outputTokens) / this.#replies
  }
}
