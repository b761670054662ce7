/**
 * balance: spreads calls over LLMs, or over keys of one vendor.
 *
 * Room `combinators`: LLMs in, an LLM out. Imported by `blocking/thread`, `index`.
 */
import type { Backend } from '../llm/backend.ts'
import { ConvokeError } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { checkOptions, optionsError } from '../options/check-options.ts'
import { positiveMs, positiveNumber } from '../options/option-rules.ts'
import type { OptionRules } from '../options/option-rules.ts'
import { settingsOf } from '../options/settings.ts'
import { combine } from './combined-backend.ts'
import type { CombinedCall } from './combined-call.ts'
import { fallbackCodes, failoverRule } from './failover-rule.ts'
import type { FailoverRule } from './failover-rule.ts'
import { tryInOrder } from './try-in-order.ts'
import { checkLLMs } from './check-llms.ts'

/** Options of `balance`. */
export interface BalanceOptions {
  /**
   * How the LLM of a call is chosen: each in turn, the one with the fewest calls running and queued, one at random, or
   * one at random by `weights`.
   * @default 'round-robin'
   */
  strategy?: 'round-robin' | 'least-busy' | 'random' | 'weighted'
  /** For `weighted`: one number above 0 for each LLM. Twice the weight gets twice the calls. */
  weights?: readonly number[]
  /**
   * How long an LLM is skipped after `rate_limited`, where its vendor did not say how long (`retry-after`), and how long
   * other LLMs are preferred after its key was refused (`authentication`, `permission`). In milliseconds. @default 10_000
   */
  cooldownMs?: number
  /**
   * The errors after which another LLM is asked, as long as the reader has seen nothing of the reply; `[]` for none.
   * @default `fallbackCodes`
   */
  on?: FailoverRule
}

/** Errors that the key causes, whatever the request. */
const keyCodes: readonly string[] = ['authentication', 'permission']

/**
 * An LLM that spreads calls over others: models, servers, or keys of one vendor. An LLM that answers 429 is skipped for as
 * long as it asks for, and its call goes to another LLM at once. When all LLMs cool down, a call waits for the first one
 * that is ready, or fails with `rate_limited` where the wait exceeds `retry.maxDelayMs` (a minute) or the time that the
 * call has left. After other errors, once the LLM's own retries have failed, a call goes to another LLM as well: see `on`.
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
  checkBalanceOptions(options, members.length)
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
  /** Nothing is sent before this time, as its vendor limits the rate. By `performance.now()`. */
  coolUntilMs: number
  /** Other targets are preferred until this time, as its key was refused. No call waits for this time to pass. */
  avoidUntilMs: number
  /** Running calls of this balance. The backend's own `activity` does not count a call that has only just begun. */
  running: number
}

class Pool {
  readonly #targets: Target[]
  readonly #strategy: NonNullable<BalanceOptions['strategy']>
  readonly #cooldownMs: number
  /** Where round-robin goes on. */
  #nextIndex = 0

  constructor(backends: readonly Backend[], options: BalanceOptions) {
    const { strategy = 'round-robin', weights, cooldownMs = 10_000 } = options
    this.#strategy = strategy
    this.#cooldownMs = cooldownMs
    // An LLM that the list holds twice is one target, with one cool-down and twice the weight.
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

  /** Waits only before the call's first attempt: after that, the call can fail with the error of an attempt. */
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
    else if (keyCodes.includes(error.code)) target.avoidUntilMs = untilMs
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
        return this.#roundRobin(ready)
      case 'least-busy': {
        const busy = ready.map(busyness)
        const least = Math.min(...busy)
        return this.#roundRobin(ready.filter((_, at) => busy[at] === least))
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

  /** The next target that is ready, from where the last choice ended. */
  #roundRobin(ready: readonly Target[]): Target {
    for (;;) {
      const target = this.#targets[this.#nextIndex++ % this.#targets.length] as Target
      if (ready.includes(target)) return target
    }
  }

  /** @throws ConvokeError `rate_limited` where the wait would be too long */
  async #wait(call: CombinedCall): Promise<void> {
    const soonest = this.#targets.reduce((one, other) => (other.coolUntilMs < one.coolUntilMs ? other : one))
    const waitMs = Math.max(soonest.coolUntilMs - performance.now(), 0)
    const limitMs = Math.min(settingsOf(call.options).retry.maxDelayMs, call.leftMs)
    const refused = this.#refusal(call, waitMs, limitMs)
    // A fallback around this balance may have another LLM that can answer without a wait.
    if (waitMs > limitMs || call.scope.handsOver?.(refused)) throw refused
    let timer: NodeJS.Timeout | undefined
    // Up to 15 % longer, so that waiting calls do not all come back at the same moment; never shorter.
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

/** @throws ConvokeError `configuration` */
function checkBalanceOptions(options: BalanceOptions, count: number): void {
  const rules: OptionRules<keyof BalanceOptions> = {
    strategy: { type: 'choice', choices: ['round-robin', 'least-busy', 'random', 'weighted'] },
    weights: {
      type: 'list',
      of: positiveNumber,
      length: count,
      wanted: `a number above 0 for each of the ${count} LLMs`,
    },
    cooldownMs: positiveMs,
    on: failoverRule,
  }
  const context = { code: 'configuration', label: 'balance' } as const
  checkOptions(options, rules, context)
  if ((options.strategy === 'weighted') !== (options.weights !== undefined)) {
    throw optionsError(context, "The option weights goes with strategy 'weighted', and only with that.")
  }
}
