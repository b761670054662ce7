/** Limits the requests and the tokens of any minute. Requests that would exceed a limit wait in a queue. */
import type { RateLimits } from '../options/generate-options.ts'
import { onAbort } from './cancellation.ts'
import { maxTimerMs } from './deadline.ts'

/** The right to send one request. When the request is over, call either `settle` or `giveBack`. */
export interface Permit {
  /** Corrects the reserved tokens to those that were spent. */
  settle(tokens: number): void
  /** Undoes the reservation, because nothing was sent: neither the request nor its tokens count. */
  giveBack(): void
}

/** Requests and tokens that count from one moment on. Entries are linked from the oldest to the newest. */
interface Entry {
  readonly atMs: number
  requests: number
  tokens: number
  /** True once the entry is older than the window, and no longer counted in the sums. */
  hasLeft: boolean
  next: Entry | undefined
}

interface QueuedRequest {
  tokens: number
  start: (permit: Permit) => void
}

/**
 * A sliding window over a log of requests. It is strict: a token bucket would let twice the limit through in the minute
 * around the moment at which it is full. Entries older than the window are dropped whenever the log is read.
 */
export class RateLimit {
  readonly #maxRequests: number
  readonly #maxTokens: number
  readonly #windowMs: number
  #oldest: Entry | undefined
  #newest: Entry | undefined
  /** The sums over the log. */
  #requests = 0
  #tokens = 0
  /** In order of arrival. A Set removes any of them in constant time. */
  readonly #queue = new Set<QueuedRequest>()
  #timer: NodeJS.Timeout | undefined

  constructor({ requestsPerMinute = Infinity, tokensPerMinute = Infinity }: RateLimits, windowMs = 60_000) {
    this.#maxRequests = requestsPerMinute
    this.#maxTokens = tokensPerMinute
    this.#windowMs = windowMs
  }

  /** False without a limit of tokens: then callers need not estimate any. */
  get countsTokens(): boolean {
    return this.#maxTokens !== Infinity
  }

  /**
   * Waits until the request fits into the window, in order of arrival: a small request does not overtake a large one. A
   * request that is larger than the limit of tokens starts when the window holds no tokens.
   * @param tokens to reserve, estimated
   * @throws the signal's reason when it fires during the wait
   */
  async acquire(tokens: number, signal: AbortSignal): Promise<Permit> {
    signal.throwIfAborted()
    if (this.#queue.size === 0 && this.#delayMs(tokens) <= 0) return this.#reserve(tokens)
    return this.#enqueue(tokens, signal)
  }

  #enqueue(tokens: number, signal: AbortSignal): Promise<Permit> {
    return new Promise((resolve, reject) => {
      const start = (permit: Permit) => {
        stop()
        resolve(permit)
      }
      const request = { tokens, start }
      const stop = onAbort(signal, (reason) => {
        const [first] = this.#queue
        this.#queue.delete(request)
        reject(reason as Error)
        if (first === request) this.#startQueued()
      })
      this.#queue.add(request)
      if (this.#queue.size === 1) this.#startQueued()
    })
  }

  /** Starts every queued request that fits, and sets a timer for the first one that does not. */
  #startQueued(): void {
    clearTimeout(this.#timer)
    for (const request of this.#queue) {
      const delayMs = this.#delayMs(request.tokens)
      if (delayMs > 0) {
        // A timer may fire a millisecond early; this function then sets it once more.
        this.#timer = setTimeout(() => this.#startQueued(), Math.min(Math.ceil(delayMs), maxTimerMs))
        return
      }
      this.#queue.delete(request)
      request.start(this.#reserve(request.tokens))
    }
  }

  /** Milliseconds until the window has room for a request of so many tokens; 0 or less when it has room now. */
  #delayMs(tokens: number): number {
    const nowMs = performance.now()
    this.#dropOld(nowMs)
    let requests = this.#requests
    let spent = this.#tokens
    let freeAtMs = nowMs
    const hasRoom = () => requests < this.#maxRequests && (spent <= 0 || spent + tokens <= this.#maxTokens)
    for (let entry = this.#oldest; entry && !hasRoom(); entry = entry.next) {
      requests -= entry.requests
      spent -= entry.tokens
      freeAtMs = entry.atMs + this.#windowMs
    }
    return freeAtMs - nowMs
  }

  #reserve(tokens: number): Permit {
    const entry = this.#log(1, tokens)
    return {
      settle: (spent) => this.#settle(entry, spent),
      giveBack: () => {
        this.#reduce(entry, 1, entry.tokens)
        this.#startQueued()
      },
    }
  }

  #settle(entry: Entry, spent: number): void {
    if (!this.countsTokens) return
    const excess = spent - entry.tokens
    if (excess > 0) {
      // The excess was spent at some time between the entry and now. It counts from now, which is the safe side.
      this.#dropOld(performance.now())
      this.#log(0, excess)
    } else if (excess < 0) {
      this.#reduce(entry, 0, -excess)
      this.#startQueued()
    }
  }

  #log(requests: number, tokens: number): Entry {
    const entry: Entry = { atMs: performance.now(), requests, tokens, hasLeft: false, next: undefined }
    if (this.#newest) this.#newest.next = entry
    this.#oldest ??= entry
    this.#newest = entry
    this.#requests += requests
    this.#tokens += tokens
    return entry
  }

  #reduce(entry: Entry, requests: number, tokens: number): void {
    if (entry.hasLeft) return
    entry.requests -= requests
    entry.tokens -= tokens
    this.#requests -= requests
    this.#tokens -= tokens
  }

  /** Drops entries that are older than the window. */
  #dropOld(nowMs: number): void {
    while (this.#oldest && this.#oldest.atMs + this.#windowMs <= nowMs) {
      const left = this.#oldest
      this.#requests -= left.requests
      this.#tokens -= left.tokens
      this.#oldest = left.next
      left.hasLeft = true
      // A permit that was not settled yet still holds its entry, and must not keep all later entries in memory.
      left.next = undefined
    }
    if (!this.#oldest) this.#newest = undefined
  }
}
