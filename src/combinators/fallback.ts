/** fallback: the next LLM answers when one fails. */
import type { LLM } from '../llm/llm.ts'
import { combine } from './combined-backend.ts'
import { checkOptions } from '../options/check-options.ts'
import type { OptionRules } from '../options/option-rules.ts'
import { fallbackCodes, failoverRule } from './failover-rule.ts'
import type { FailoverRule } from './failover-rule.ts'
import { tryInOrder } from './try-in-order.ts'
import { split } from './check-llms.ts'

/** Options of `fallback`. */
export interface FallbackOptions {
  /** The errors after which the next LLM is asked: codes, or a function of the error. @default `fallbackCodes` */
  on?: FailoverRule
  /**
   * `restart` asks the next LLM even when the reader has seen part of a stream: a `reset` chunk comes, and then the new
   * reply from its start. A call's own `retry.replay` wins; with `never` only the first LLM is asked.
   * @default 'before-output'
   */
  replay?: 'before-output' | 'restart'
}

const rules: OptionRules<keyof FallbackOptions> = {
  on: failoverRule,
  replay: { type: 'choice', choices: ['before-output', 'restart'] },
}

/**
 * An LLM that asks the first of its LLMs, and when that fails the next, until one answers. Each LLM keeps its own
 * policies: its own retries come before the next LLM, except a retry that its vendor asks to wait for (`retry-after`). The
 * reply is the one of the LLM that answered; `reply.otherAttempts` has the cost of those that failed. When all fail, the
 * call rejects with the last error, which has the others in `error.partial.otherAttempts` and counts their requests in
 * `attempts`. A call's `timeouts.totalMs` limits all LLMs together.
 *
 * @example
 * const llm = fallback([createLLM('openai/gpt-4o-mini'), createLLM('anthropic/claude-haiku-4-5')])
 *
 * @throws ConvokeError `configuration` for what is no LLM, or a bad option
 */
export function fallback<Member extends LLM>(
  llms: readonly Member[],
  options?: FallbackOptions,
): LLM<Member extends LLM<infer Default> ? Default : never>
/**
 * The same, from LLMs one after the other, and the options behind them.
 * @deprecated Pass the LLMs as a list: `fallback([a, b], options)`.
 */
export function fallback(...given: readonly (LLM | FallbackOptions)[]): LLM
export function fallback(...given: readonly (LLM | readonly LLM[] | FallbackOptions | undefined)[]): LLM {
  const { llms, options = {} } = split<FallbackOptions>('fallback', given)
  checkOptions(options, rules, { code: 'configuration', label: 'fallback' })
  const { on = fallbackCodes, replay = 'before-output' } = options
  const members = llms.map(({ backend }) => backend)
  return combine({
    name: 'fallback',
    members: llms,
    options,
    work: (call, sink) => {
      // A position, as the list may hold the same LLM twice.
      let at = 0
      return tryInOrder(call, sink, {
        on,
        replay,
        next: () => members[at++],
        hasNext: () => at < members.length,
        handsOver: ({ retryAfterMs }) => retryAfterMs !== undefined,
      })
    },
  })
}
