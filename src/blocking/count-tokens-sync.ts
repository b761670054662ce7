/** countTokens for blocking code. */
import type { CountTokensOptions, TokenCount } from '../tokens/count-tokens.ts'
import type { Prompt } from '../types.ts'
import type { BlockingOptions } from '../options/generate-options.ts'
import { callBlocking } from './generate.ts'

/**
 * `countTokens` for blocking code: the blocking thread counts, and this thread waits.
 * @throws ConvokeError the errors of `countTokens`, and `blocking_unavailable` as from `LLM.generate`
 */
export function countTokensSync(
  input: Prompt,
  options: CountTokensOptions & Pick<BlockingOptions, 'blocking'>,
): TokenCount {
  return callBlocking({}, 'countTokens', input, options)
}
