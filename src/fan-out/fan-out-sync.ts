/** fanOut for a thread that waits. */
import { askBlocking } from '../blocking/generate.ts'
import type { BlockingOptions } from '../options/blocking-options.ts'
import type { FanOutOptions, FanOutResults } from './fan-out.ts'
import type { Members } from './members.ts'
import type { Prompt } from '../types.ts'

/**
 * `fanOut`, while this thread waits: all are asked at once by the blocking thread.
 * @throws ConvokeError as `fanOut`, and `blocking_unavailable` as `LLM.generate`: also for a member that is no LLM, a
 * prompt that is a function, and a `schema`, of the call or of a member
 */
export function fanOutSync<const Given extends Members>(
  llms: Given,
  prompt: Prompt,
  options: BlockingOptions<FanOutOptions> = {},
): FanOutResults<Given> {
  return askBlocking('fanOut', llms, prompt, options)
}
