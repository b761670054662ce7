/** fallback: the next LLM answers when one fails. */
import type { LLM } from '../llm/llm.ts'
import { combine } from './combined-backend.ts'
import { tryInOrder, fallbackCodes, isFailoverRule, failoverRuleWanted } from './try-in-order.ts'
import type { FailoverRule } from './try-in-order.ts'
import { checkOptions, split } from './check-llms.ts'

export interface FallbackOptions {
  /** After which errors the next one is asked: codes, or a function of the error. @default `fallbackCodes` */
  on?: FailoverRule
  /**
   * Whether the next one is asked although something of a stream was visible already: a `reset` chunk, then again from
   * the start. A call's `retry.replay` wins; with its `never` only the first LLM is asked. @default 'before-output'
   */
  replay?: 'before-output' | 'restart'
}

/**
 * An LLM that asks the first, and when that fails the next, until one answers. Each keeps its own policies: its retries
 * come first, but for those that its vendor wants to be waited for (`retry-after`). The reply is that of the LLM that
 * gave it; `reply.lost` tells what the others cost. When all fail, it is the last one's error, with the others in
 * `error.partial.lost` and their requests in `attempts`. A call's `timeouts.totalMs` is for all of them together.
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
/** @deprecated Pass the LLMs as a list: `fallback([a, b], options)`. */
export function fallback(...given: readonly (LLM | FallbackOptions)[]): LLM
export function fallback(...given: readonly (LLM | readonly LLM[] | FallbackOptions | undefined)[]): LLM {
  const { llms, options = {} } = split<FallbackOptions>('fallback', given)
  checkOptions<FallbackOptions>('fallback', options, {
    on: [isFailoverRule, failoverRuleWanted],
    replay: [(value) => value === 'before-output' || value === 'restart', "'before-output' or 'restart'"],
  })
  const { on = fallbackCodes, replay = 'before-output' } = options
  const members = llms.map(({ backend }) => backend)
  return combine({
    name: 'fallback',
    members: llms,
    options,
    work: (call, sink) => {
      // By its place: an LLM may stand there twice.
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
