/** hedge: a second LLM is asked when the first is slow, and the faster one answers. */
import type { Backend } from '../llm/backend.ts'
import { ConvokeError } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse } from '../types.ts'
import { combine } from './combined-backend.ts'
import type { MemberRun, CombinedCall } from './combined-call.ts'
import { fallbackCodes, helpsAfter } from './try-in-order.ts'
import { checkOptions, isAmount, split } from './check-llms.ts'

export interface HedgeOptions {
  /**
   * How long the LLM asked last may be silent before the next is asked, in milliseconds from its call. With
   * `afterQuantile` besides, it holds until enough calls were seen.
   */
  afterMs?: number
  /**
   * The same, learned: as long as this share of the first LLM's last 200 calls took to their first content (streams) or
   * their reply (others), from 20 calls on; until then nothing is hedged. 0.95 hedges about one call in twenty.
   */
  afterQuantile?: number
  /**
   * How many further requests slowness may cost, as a share of the calls: 0.05 is one for twenty calls, ten of them at
   * once. A vendor that slows down for everybody is not asked twice by everybody. Requests after a failure do not count.
   * @default every call may have them
   */
  maxExtraLoad?: number
}

/**
 * An LLM that asks the first, and, while that is silent, after a while the next: the first visible chunk of a stream, or
 * the first whole reply, wins. The others are cancelled, their sockets closed; what they cost is in `reply.lost`. One that
 * fails lets the next begin at once (see `fallbackCodes`); when all fail it is the last error.
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
/** @deprecated Pass the LLMs as a list: `hedge([a, b], options)`. */
export function hedge(...given: readonly (LLM | HedgeOptions)[]): LLM
export function hedge(...given: readonly (LLM | readonly LLM[] | HedgeOptions | undefined)[]): LLM {
  const { llms, options = {} } = split<HedgeOptions>('hedge', given)
  checkOptions<HedgeOptions>('hedge', options, {
    afterMs: [(value) => value === 0 || isAmount(value), 'milliseconds from 0'],
    afterQuantile: [(value) => isAmount(value) && (value as number) < 1, 'a share between 0 and 1'],
    maxExtraLoad: [isAmount, 'a number above 0, in requests per call'],
  })
  if (options.afterMs === undefined && options.afterQuantile === undefined) {
    const message = 'hedge takes { afterMs }, or { afterQuantile }: when the next LLM is asked.'
    throw new ConvokeError('configuration', message)
  }
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

const fewestSeen = 20
const mostSeen = 200

/** How long the first LLM takes, of late. */
class Delays {
  readonly #options: HedgeOptions
  readonly #seenMs: number[] = []
  #next = 0

  constructor(options: HedgeOptions) {
    this.#options = options
  }

  add(elapsedMs: number): void {
    this.#seenMs[this.#next++ % mostSeen] = elapsedMs
  }

  /** Until the next one is asked. */
  get waitMs(): number {
    const { afterMs = Infinity, afterQuantile } = this.#options
    if (afterQuantile === undefined || this.#seenMs.length < fewestSeen) return afterMs
    const sorted = this.#seenMs.toSorted((one, other) => one - other)
    return sorted[Math.floor(afterQuantile * sorted.length)] as number
  }
}

/** Requests that may be spent at once, after calls that needed none. */
const mostSaved = 10

/** What is left for further requests: a token bucket that calls fill. */
class ExtraLoad {
  readonly #perCall: number
  #saved = mostSaved

  constructor(perCall = Infinity) {
    this.#perCall = perCall
  }

  add(): void {
    this.#saved = Math.min(mostSaved, this.#saved + this.#perCall)
  }

  /** One of them; false when none is left. */
  take(): boolean {
    if (this.#perCall === Infinity) return true
    if (this.#saved < 1) return false
    this.#saved -= 1
    return true
  }
}

interface Racer {
  backend: Backend
  run: MemberRun
  startedAtMs: number
}

class Race {
  readonly #call: CombinedCall
  readonly #sink: StreamSink | undefined
  readonly #members: readonly Backend[]
  readonly #delays: Delays
  readonly #budget: ExtraLoad
  readonly #waitMs: number
  readonly #running = new Set<Racer>()
  readonly #isSeen = new WeakSet<Racer>()
  readonly #over = Promise.withResolvers<GenerateResponse>()
  #next = 0
  #first: Racer | undefined
  #winner: Racer | undefined
  #timer: NodeJS.Timeout | undefined
  /** How it ends, once nobody runs any more. */
  #end: (() => void) | undefined

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
      return await this.#over.promise
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
        // The first content, or the end of a reply without any.
        if (!this.#winner) this.#win(racer)
        return this.#winner === racer ? sink.push(chunk) : undefined
      },
    }
    // The last one of all need not wait for its vendor, where a fallback around the hedge has another LLM.
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

  /** Another one beside those that run: if it cannot even begin, they go on. */
  #startBeside(): void {
    try {
      this.#start()
    } catch (error) {
      if (this.#running.size === 0) this.#over.reject(error as Error)
    }
  }

  get #hasNext(): boolean {
    return this.#next < this.#members.length
  }

  #win(racer: Racer): void {
    this.#winner = racer
    clearTimeout(this.#timer)
    const first = this.#first as Racer
    if (first === racer || this.#running.has(first)) this.#see(first)
    this.#call.leads(racer.run)
    for (const other of this.#running) if (other !== racer) other.run.cancel('another LLM was faster')
  }

  #replied(racer: Racer, reply: GenerateResponse): void {
    this.#running.delete(racer)
    if (!this.#winner) this.#win(racer)
    if (this.#winner === racer) this.#end = () => this.#over.resolve(reply)
    else this.#call.recordReply(reply, reply.timing.attempts)
    this.#endAtLast()
  }

  #failed(racer: Racer, error: ConvokeError): void {
    this.#running.delete(racer)
    if (this.#winner === racer) this.#end = () => this.#over.reject(error)
    else if (this.#winner || this.#running.size > 0) this.#lose(racer, error)
    else if (this.#hasNext && helpsAfter(this.#call, error, fallbackCodes)) {
      this.#lose(racer, error)
      return this.#startBeside()
    } else this.#end = () => this.#over.reject(error)
    this.#endAtLast()
    if (!this.#winner && this.#running.size > 0 && this.#hasNext) {
      if (helpsAfter(this.#call, error, fallbackCodes)) this.#startBeside()
    }
  }

  /** The reply waits for the others to be told off: what they cost belongs to it. */
  #endAtLast(): void {
    if (this.#running.size === 0) this.#end?.()
  }

  #lose({ backend }: Racer, error: ConvokeError): void {
    // One that waited in line when it was ended cost nothing.
    if (error.attempts === 0 && (error.code === 'cancelled' || this.#call.signal.aborted)) return
    this.#call.recordFailure(error, backend)
  }

  /** How long the first one took, or at least: one that was overtaken counts as it stood. */
  #see(first: Racer): void {
    if (this.#isSeen.has(first)) return
    this.#isSeen.add(first)
    this.#delays.add(performance.now() - first.startedAtMs)
  }
}
