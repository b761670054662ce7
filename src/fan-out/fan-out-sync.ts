/** fanOut for blocking code. */
import { askBlocking } from '../blocking/generate.ts'
import type { BlockingOptions } from '../options/generate-options.ts'
import type { FanOutOptions, FanOutResults } from './fan-out.ts'
import type { Members } from './members.ts'
import type { Prompt } from '../types.ts'

/**
 * `fanOut` for blocking code: the blocking thread asks all members at once, and this thread waits.
 * @throws ConvokeError the errors of `fanOut`, and `blocking_unavailable` as from `LLM.generate`; besides that for a member
 * that createLLM or a combinator did not make, for a prompt that is a function, and for a `schema` of the call or a member
 */
export function fanOutSync<const Given extends Members>(
  llms: Given,
  prompt: Prompt,
  options: BlockingOptions<FanOutOptions> = {},
): FanOutResults<Given> {
  return askBlocking('fanOut', llms, prompt, options)
}
