/** balance: calls spread over LLMs, or over keys of one vendor. */
import type { Backend } from '../llm/backend.ts'
import { ConvokeError } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { settingsOf } from '../options/call-options.ts'
import { combine } from './combined-backend.ts'
import type { CombinedCall } from './combined-call.ts'
import { tryInOrder, fallbackCodes, isFailoverRule, failoverRuleWanted } from './try-in-order.ts'
import type { FailoverRule } from './try-in-order.ts'
import { checkLLMs, checkOptions, isAmount } from './check-llms.ts'

export interface BalanceOptions {
  /**
   * Who is asked: each in turn, the one with the fewest calls running and queued, any, or any by `weights`.
   * @default 'round-robin'
   */
  strategy?: 'round-robin' | 'least-busy' | 'random' | 'weighted'
  /** For `weighted`: one number above 0 for each LLM. Twice the weight gets twice the calls. */
  weights?: readonly number[]
  /**
   * How long an LLM is left alone that was refused for its rate (`rate_limited`) without a word of its vendor's on it
   * (`retry-after`), and how long others are preferred to one whose key was refused (`authentication`, `permission`), in
   * milliseconds. @default 10_000
   */
  cooldownMs?: number
  /** After which errors another one is asked, with nothing visible; `[]` for none. @default `fallbackCodes` */
  on?: FailoverRule
}

/** The key is to blame, whatever is asked. */
const ofKey: readonly string[] = ['authentication', 'permission']

/**
 * An LLM that spreads calls over others: models, servers, or keys of one vendor. One that answers 429 cools down for as
 * long as it says, and is skipped meanwhile; its call goes to another one at once. When all cool down, a call waits for
 * the first to be ready, or fails with `rate_limited` where that takes longer than `retry.maxDelayMs` (a minute) or than
 * the call has left. After other errors, and its own retries, a call goes to another one as well: see `on`.
 *
 * @example
 * const llm = balance(keys.map((apiKey) => createLLM('openai/gpt-4o-mini', { apiKey })), { strategy: 'least-busy' })
 *
 * @throws ConvokeError `configuration` for what is no LLM, or a bad option
 */
export function balance<Member extends LLM>(
  llms: readonly Member[],
  options?: BalanceOptions,
): LLM<Member extends LLM<infer Default> ? Default : never>
export function balance(llms: readonly LLM[], options: BalanceOptions = {}): LLM {
  const members = checkLLMs('balance', llms)
  check(options, members.length)
  const pool = new Pool(
    members.map(({ backend }) => backend),
    options,
  )
  const { on = fallbackCodes } = options
  return combine({
    name: 'balance',
    members,
    options,
    work: (call, sink) =>
      tryInOrder(call, sink, {
        on,
        replay: 'before-output',
        next: (tried) => pool.next(call, tried),
        hasNext: (tried) => pool.ready(tried).length > 0,
        onFailure: (member, error) => pool.cool(member, error),
        onStart: (member, reply) => pool.count(member, reply),
        handsOver: ({ code, retryAfterMs }) => code === 'rate_limited' || retryAfterMs !== undefined,
      }),
  })
}

interface Target {
  backend: Backend
  weight: number
  /** Its vendor asked for a rest. By `performance.now()`. */
  coolUntilMs: number
  /** Its key was refused: others are better, but waiting for it helps nobody. */
  avoidUntilMs: number
  /** Calls of this balance: one that has just begun does not show in its activity yet. */
  running: number
}

class Pool {
  readonly #targets: Target[]
  readonly #strategy: NonNullable<BalanceOptions['strategy']>
  readonly #cooldownMs: number
  /** Whose turn it is. */
  #turn = 0

  constructor(backends: readonly Backend[], options: BalanceOptions) {
    const { strategy = 'round-robin', weights, cooldownMs = 10_000 } = options
    this.#strategy = strategy
    this.#cooldownMs = cooldownMs
    // One that stands there twice is one, and cools down as one.
    this.#targets = [...new Set(backends)].map((backend) => ({
      backend,
      weight: 0,
      coolUntilMs: 0,
      avoidUntilMs: 0,
      running: 0,
    }))
    backends.forEach((backend, at) => {
      this.#targetOf(backend).weight += weights?.[at] ?? 1
    })
  }

  ready(tried: ReadonlySet<Backend>): Target[] {
    const nowMs = performance.now()
    const rested = this.#targets.filter(
      ({ backend, coolUntilMs }) => coolUntilMs <= nowMs && !tried.has(backend),
    )
    const good = rested.filter(({ avoidUntilMs }) => avoidUntilMs <= nowMs)
    return good.length > 0 ? good : rested
  }

  /** Waits only where nobody was asked yet: else there is an error to tell. */
  async next(call: CombinedCall, tried: ReadonlySet<Backend>): Promise<Backend | undefined> {
    for (;;) {
      const ready = this.ready(tried)
      if (ready.length > 0) return this.#choose(ready).backend
      if (tried.size > 0) return undefined
      await this.#wait(call)
    }
  }

  cool(member: Backend, error: ConvokeError): void {
    const target = this.#targetOf(member)
    const untilMs = performance.now() + (error.retryAfterMs ?? this.#cooldownMs)
    if (error.code === 'rate_limited') target.coolUntilMs = Math.max(target.coolUntilMs, untilMs)
    else if (ofKey.includes(error.code)) target.avoidUntilMs = untilMs
  }

  count(member: Backend, reply: Promise<unknown>): void {
    const target = this.#targetOf(member)
    target.running++
    const end = () => void target.running--
    reply.then(end, end)
  }

  #choose(ready: readonly Target[]): Target {
    switch (this.#strategy) {
      case 'round-robin':
        return this.#inTurn(ready)
      case 'least-busy': {
        const busy = ready.map(busyness)
        const least = Math.min(...busy)
        return this.#inTurn(ready.filter((_, at) => busy[at] === least))
      }
      case 'random':
        return ready[Math.floor(Math.random() * ready.length)] as Target
      case 'weighted': {
        let left = Math.random() * ready.reduce((sum, { weight }) => sum + weight, 0)
        return ready.find(({ weight }) => (left -= weight) < 0) ?? (ready.at(-1) as Target)
      }
      default:
        return this.#strategy satisfies never
    }
  }

  /** The next of all, from the one whose turn it is. */
  #inTurn(ready: readonly Target[]): Target {
    for (;;) {
      const target = this.#targets[this.#turn++ % this.#targets.length] as Target
      if (ready.includes(target)) return target
    }
  }

  /** @throws ConvokeError `rate_limited` where the wait would be too long */
  async #wait(call: CombinedCall): Promise<void> {
    const soonest = this.#targets.reduce((one, other) => (other.coolUntilMs < one.coolUntilMs ? other : one))
    const waitMs = Math.max(soonest.coolUntilMs - performance.now(), 0)
    const limitMs = Math.min(settingsOf(call.options).retry.maxDelayMs, call.leftMs)
    const refused = this.#refusal(call, waitMs, limitMs)
    // A fallback around it has another LLM, which need not be waited for.
    if (waitMs > limitMs || call.scope.handsOver?.(refused)) throw refused
    let timer: NodeJS.Timeout | undefined
    // Spread, lest all backends come back at once; never early.
    const delayMs = waitMs * (1 + Math.random() * 0.15) + 1
    try {
      await call.unlessEnded(new Promise<void>((resolve) => (timer = setTimeout(resolve, delayMs))))
    } finally {
      clearTimeout(timer)
    }
  }

  #refusal({ provider }: CombinedCall, waitMs: number, limitMs: number): ConvokeError {
    const many = this.#targets.length === 1 ? 'The only LLM cools' : `All ${this.#targets.length} LLMs cool`
    const soon = `${many} down. The first is ready in ${Math.ceil(waitMs / 1_000)} s`
    const limit = `longer than the ${Math.ceil(limitMs / 1_000)} s that a call waits (retry.maxDelayMs, timeouts.totalMs)`
    return new ConvokeError('rate_limited', waitMs > limitMs ? `${soon}, ${limit}.` : `${soon}.`, {
      provider,
      retryAfterMs: Math.ceil(waitMs),
      isRetryable: false,
    })
  }

  #targetOf(backend: Backend): Target {
    return this.#targets.find((target) => target.backend === backend) as Target
  }
}

function busyness({ backend, running }: Target): number {
  const { activity } = backend
  return Math.max(running, activity.running + activity.queued)
}

function check(options: BalanceOptions, count: number): void {
  checkOptions<BalanceOptions>('balance', options, {
    strategy: [
      (value) => ['round-robin', 'least-busy', 'random', 'weighted'].includes(value as string),
      "'round-robin', 'least-busy', 'random' or 'weighted'",
    ],
    weights: [
      (value) => Array.isArray(value) && value.length === count && value.every(isAmount),
      `a number above 0 for each of the ${count} LLMs`,
    ],
    cooldownMs: [isAmount, 'milliseconds above 0'],
    on: [isFailoverRule, failoverRuleWanted],
  })
  if ((options.strategy === 'weighted') !== (options.weights !== undefined)) {
    const message = "balance takes weights with strategy 'weighted', and only with that."
    throw new ConvokeError('configuration', message)
  }
}
