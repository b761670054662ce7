/** `countTokens` for a thread that waits. */
import type { CountTokensOptions, TokenCount } from '../tokens/count-tokens.ts'
import type { Prompt } from '../types.ts'
import type { BlockingOptions } from '../options/generate-options.ts'
import { callBlocking } from './generate.ts'

/**
 * Counts tokens as `countTokens` does, while this thread waits. The blocking thread counts.
 * @throws ConvokeError as `countTokens`, and `blocking_unavailable` as `LLM.generate`
 */
export function countTokensSync(
  input: Prompt,
  options: CountTokensOptions & Pick<BlockingOptions, 'blocking'>,
): TokenCount {
  return callBlocking({}, 'countTokens', input, options)
}
