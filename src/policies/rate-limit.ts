/** So many requests, and so many tokens, in any minute and never more; what exceeds them waits in line. */
import type { RateLimits } from '../options/generate-options.ts'
import { onAbort } from './cancellation.ts'
import { maxTimerMs } from './deadline.ts'

/** The right to send one request. Settle it, or give it back, when the request is over. */
export interface Permit {
  /** Corrects the reservation to the tokens that were spent. */
  settle(tokens: number): void
  /** Nothing was sent: neither the request nor its tokens count. */
  giveBack(): void
}

/** Something that happened in the window; the entries are linked from the oldest to the newest. */
interface Entry {
  readonly atMs: number
  requests: number
  tokens: number
  hasLeft: boolean
  next: Entry | undefined
}

interface Waiting {
  tokens: number
  start: (permit: Permit) => void
}

/**
 * A sliding window over a log of what was begun: strict, where a token bucket would let twice as much through around
 * the moment that it is full. The log holds what the window held when it was last looked at, and nothing older.
 */
export class RateLimit {
  readonly #maxRequests: number
  readonly #maxTokens: number
  readonly #windowMs: number
  #oldest: Entry | undefined
  #newest: Entry | undefined
  /** What stands in the log. */
  #requests = 0
  #tokens = 0
  /** In order; a Set gives up any of them at once. */
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined

  constructor({ requestsPerMinute = Infinity, tokensPerMinute = Infinity }: RateLimits, windowMs = 60_000) {
    this.#maxRequests = requestsPerMinute
    this.#maxTokens = tokensPerMinute
    this.#windowMs = windowMs
  }

  /** Whether anybody needs to estimate tokens. */
  get countsTokens(): boolean {
    return this.#maxTokens !== Infinity
  }

  /**
   * Waits for its turn, in the order of asking: a small request does not overtake a large one. One that is larger than
   * the limit of tokens starts when no token is left in the window.
   * @throws the signal's reason when it aborts in line
   */
  async take(tokens: number, signal: AbortSignal): Promise<Permit> {
    signal.throwIfAborted()
    if (this.#waiting.size === 0 && this.#delayMs(tokens) <= 0) return this.#begin(tokens)
    return this.#turn(tokens, signal)
  }

  #turn(tokens: number, signal: AbortSignal): Promise<Permit> {
    return new Promise((resolve, reject) => {
      const start = (permit: Permit) => {
        stop()
        resolve(permit)
      }
      const waiting = { tokens, start }
      const stop = onAbort(signal, (reason) => {
        const [first] = this.#waiting
        this.#waiting.delete(waiting)
        reject(reason as Error)
        if (first === waiting) this.#admit()
      })
      this.#waiting.add(waiting)
      if (this.#waiting.size === 1) this.#admit()
    })
  }

  /** Starts all that may start, and sets the clock to the moment when the next one may. */
  #admit(): void {
    clearTimeout(this.#timer)
    for (const waiting of this.#waiting) {
      const delayMs = this.#delayMs(waiting.tokens)
      if (delayMs > 0) {
        // A timer may ring a millisecond early; then it is set once more.
        this.#timer = setTimeout(() => this.#admit(), Math.min(Math.ceil(delayMs), maxTimerMs))
        return
      }
      this.#waiting.delete(waiting)
      waiting.start(this.#begin(waiting.tokens))
    }
  }

  /** How long until enough has left the window. */
  #delayMs(tokens: number): number {
    const nowMs = performance.now()
    this.#forget(nowMs)
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

  #begin(tokens: number): Permit {
    const entry = this.#log(1, tokens)
    return {
      settle: (spent) => this.#settle(entry, spent),
      giveBack: () => {
        this.#reduce(entry, 1, entry.tokens)
        this.#admit()
      },
    }
  }

  #settle(entry: Entry, spent: number): void {
    if (!this.countsTokens) return
    const excess = spent - entry.tokens
    if (excess > 0) {
      // It was spent while the reply came, after the entry's time or even after its minute: the end is the safe side.
      this.#forget(performance.now())
      this.#log(0, excess)
    } else if (excess < 0) {
      this.#reduce(entry, 0, -excess)
      this.#admit()
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

  /** Drops what has left the window. */
  #forget(nowMs: number): void {
    while (this.#oldest && this.#oldest.atMs + this.#windowMs <= nowMs) {
      const left = this.#oldest
      this.#requests -= left.requests
      this.#tokens -= left.tokens
      this.#oldest = left.next
      left.hasLeft = true
      // A permit that is still out must not hold all that came after its entry.
      left.next = undefined
    }
    if (!this.#oldest) this.#newest = undefined
  }
}
