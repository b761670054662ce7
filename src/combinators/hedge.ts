/** hedge: asks a second LLM when the first is slow; the faster one answers. */
import type { Backend } from '../llm/backend.ts'
import type { ConvokeError } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { checkOptions, optionsError } from '../options/check-options.ts'
import { positiveNumber } from '../options/option-rules.ts'
import type { OptionRules } from '../options/option-rules.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse } from '../types.ts'
import { combine } from './combined-backend.ts'
import type { MemberRun, CombinedCall } from './combined-call.ts'
import { fallbackCodes } from './failover-rule.ts'
import { helpsAfter } from './try-in-order.ts'
import { split } from './check-llms.ts'

/** Options of `hedge`: `afterMs`, `afterQuantile` or both. */
export interface HedgeOptions {
  /**
   * How long an LLM may be silent before the next is asked, in milliseconds from its call. Given together with
   * `afterQuantile`, it applies until enough calls were measured.
   */
  afterMs?: number
  /**
   * The same delay, measured: the time within which this share of the first LLM's last 200 calls gave their first content
   * (streams) or their reply (other calls). Nothing is hedged before 20 calls were measured. 0.95 hedges about one call in
   * twenty.
   */
  afterQuantile?: number
  /**
   * How many further requests slow replies may cause, per call: 0.05 allows one for twenty calls, and at most ten at once.
   * It keeps a vendor that is slow for all calls from getting twice the load. Requests after a failure do not count.
   * @default no bound
   */
  maxExtraLoad?: number
}

/**
 * An LLM that asks the first of its LLMs, and, when that stays silent for too long, the next as well. The first visible
 * chunk of a stream, or the first complete reply, wins. The other calls are cancelled and their sockets closed;
 * `reply.otherAttempts` has their cost. After a failure the next LLM is asked at once (see `fallbackCodes`); when all
 * fail, the call rejects with the last error.
 *
 * @example
 * const llm = hedge([createLLM('openai/gpt-4o-mini'), createLLM('groq/llama-3.3-70b-versatile')], { afterMs: 800 })
 *
 * @throws ConvokeError `configuration` for what is no LLM, or a bad option; one of the two is needed
 */
export function hedge<Member extends LLM>(
  llms: readonly Member[],
  options: HedgeOptions,
): LLM<Member extends LLM<infer Default> ? Default : never>
/**
 * The same, from LLMs one after the other, and the options behind them.
 * @deprecated Pass the LLMs as a list: `hedge([a, b], options)`.
 */
export function hedge(...given: readonly (LLM | HedgeOptions)[]): LLM
export function hedge(...given: readonly (LLM | readonly LLM[] | HedgeOptions | undefined)[]): LLM {
  const { llms, options = {} } = split<HedgeOptions>('hedge', given)
  checkHedgeOptions(options)
  const members = llms.map(({ backend }) => backend)
  const delays = { stream: new Delays(options), plain: new Delays(options) }
  const budget = new ExtraLoad(options.maxExtraLoad)
  return combine({
    name: 'hedge',
    members: llms,
    options,
    work: (call, sink) => {
      budget.add()
      return new Race(call, sink, members, sink ? delays.stream : delays.plain, budget).run()
    },
  })
}

const rules: OptionRules<keyof HedgeOptions> = {
  afterMs: { type: 'number', unit: 'milliseconds', from: 0 },
  afterQuantile: { type: 'number', above: 0, below: 1 },
  maxExtraLoad: { ...positiveNumber, wanted: 'a number above 0, in requests per call' },
}

/** @throws ConvokeError `configuration` */
function checkHedgeOptions(options: HedgeOptions): void {
  const context = { code: 'configuration', label: 'hedge' } as const
  checkOptions(options, rules, context)
  if (options.afterMs === undefined && options.afterQuantile === undefined) {
    throw optionsError(
      context,
      'It takes { afterMs } or { afterQuantile }: how long it waits before it asks the next LLM.',
    )
  }
}

const minMeasured = 20
const maxMeasured = 200

/** The recent response times of the first LLM, and the hedging delay that follows from them. */
class Delays {
  readonly #options: HedgeOptions
  readonly #measuredMs: number[] = []
  #next = 0

  constructor(options: HedgeOptions) {
    this.#options = options
  }

  add(elapsedMs: number): void {
    this.#measuredMs[this.#next++ % maxMeasured] = elapsedMs
  }

  /** How long to wait before the next LLM is asked. */
  get waitMs(): number {
    const { afterMs = Infinity, afterQuantile } = this.#options
    if (afterQuantile === undefined || this.#measuredMs.length < minMeasured) return afterMs
    const sorted = this.#measuredMs.toSorted((one, other) => one - other)
    return sorted[Math.floor(afterQuantile * sorted.length)] as number
  }
}

/** The bucket holds at most this many requests, so a burst of slow replies causes no more at once. */
const maxSaved = 10

/** The budget of further requests: a token bucket, which each call fills by `perCall`. */
class ExtraLoad {
  readonly #perCall: number
  #saved = maxSaved

  constructor(perCall = Infinity) {
    this.#perCall = perCall
  }

  add(): void {
    this.#saved = Math.min(maxSaved, this.#saved + this.#perCall)
  }

  /** Takes one request out of the budget; false when none is left. */
  take(): boolean {
    if (this.#perCall === Infinity) return true
    if (this.#saved < 1) return false
    this.#saved -= 1
    return true
  }
}

/** One LLM's call in a race. */
interface Racer {
  backend: Backend
  run: MemberRun
  startedAtMs: number
}

/** One call of a hedge: the members' calls that compete for it. */
class Race {
  readonly #call: CombinedCall
  readonly #sink: StreamSink | undefined
  readonly #members: readonly Backend[]
  readonly #delays: Delays
  readonly #budget: ExtraLoad
  readonly #waitMs: number
  readonly #running = new Set<Racer>()
  readonly #measured = new WeakSet<Racer>()
  readonly #outcome = Promise.withResolvers<GenerateResponse>()
  #next = 0
  #first: Racer | undefined
  #winner: Racer | undefined
  #timer: NodeJS.Timeout | undefined
  /** Settles the outcome, once no call runs any more. */
  #settle: (() => void) | undefined

  constructor(
    call: CombinedCall,
    sink: StreamSink | undefined,
    members: readonly Backend[],
    delays: Delays,
    budget: ExtraLoad,
  ) {
    this.#call = call
    this.#sink = sink
    this.#members = members
    this.#delays = delays
    this.#budget = budget
    this.#waitMs = delays.waitMs
  }

  async run(): Promise<GenerateResponse> {
    this.#start()
    try {
      return await this.#outcome.promise
    } finally {
      clearTimeout(this.#timer)
    }
  }

  #start(): void {
    clearTimeout(this.#timer)
    const backend = this.#members[this.#next++] as Backend
    const sink = this.#sink
    const view: StreamSink | undefined = sink && {
      push: (chunk) => {
        // The first chunk is the first content, or the end of a reply without any.
        if (!this.#winner) this.#win(racer)
        return this.#winner === racer ? sink.push(chunk) : undefined
      },
    }
    // The last call that runs may be handed to a fallback around the hedge, instead of waiting for its own retry.
    const { handsOver } = this.#call.scope
    const run = this.#call.start(backend, view, (error) =>
      this.#hasNext || this.#running.size > 1 ? false : (handsOver?.(error) ?? false),
    )
    const racer: Racer = { backend, run, startedAtMs: performance.now() }
    this.#first ??= racer
    this.#running.add(racer)
    run.reply.then(
      (reply) => this.#replied(racer, reply),
      (error: ConvokeError) => this.#failed(racer, error),
    )
    if (this.#hasNext && this.#waitMs < Infinity) {
      this.#timer = setTimeout(() => {
        if (this.#budget.take()) this.#startBeside()
      }, this.#waitMs)
    }
  }

  /** Asks the next LLM beside those that run. If its call cannot begin, they go on. */
  #startBeside(): void {
    try {
      this.#start()
    } catch (error) {
      if (this.#running.size === 0) this.#outcome.reject(error as Error)
    }
  }

  get #hasNext(): boolean {
    return this.#next < this.#members.length
  }

  #win(racer: Racer): void {
    this.#winner = racer
    clearTimeout(this.#timer)
    const first = this.#first as Racer
    if (first === racer || this.#running.has(first)) this.#measure(first)
    this.#call.makeCurrent(racer.run)
    for (const other of this.#running) if (other !== racer) other.run.cancel('another LLM was faster')
  }

  #replied(racer: Racer, reply: GenerateResponse): void {
    this.#running.delete(racer)
    if (!this.#winner) this.#win(racer)
    if (this.#winner === racer) this.#settle = () => this.#outcome.resolve(reply)
    else this.#call.recordReply(reply, reply.timing.attempts)
    this.#settleWhenIdle()
  }

  #failed(racer: Racer, error: ConvokeError): void {
    this.#running.delete(racer)
    if (this.#winner === racer) this.#settle = () => this.#outcome.reject(error)
    else if (this.#winner || this.#running.size > 0) this.#lose(racer, error)
    else if (this.#hasNext && helpsAfter(this.#call, error, fallbackCodes)) {
      this.#lose(racer, error)
      return this.#startBeside()
    } else this.#settle = () => this.#outcome.reject(error)
    this.#settleWhenIdle()
    if (!this.#winner && this.#running.size > 0 && this.#hasNext) {
      if (helpsAfter(this.#call, error, fallbackCodes)) this.#startBeside()
    }
  }

  /** The reply waits until the cancelled calls have ended, as it reports their cost. */
  #settleWhenIdle(): void {
    if (this.#running.size === 0) this.#settle?.()
  }

  #lose({ backend }: Racer, error: ConvokeError): void {
    // A call that was cancelled in the queue cost nothing.
    if (error.attempts === 0 && (error.code === 'cancelled' || this.#call.signal.aborted)) return
    this.#call.recordFailure(error, backend)
  }

  /** Records the first LLM's time. When another LLM was faster, it is the time until then: a lower bound. */
  #measure(first: Racer): void {
    if (this.#measured.has(first)) return
    this.#measured.add(first)
    this.#delays.add(performance.now() - first.startedAtMs)
  }
}
