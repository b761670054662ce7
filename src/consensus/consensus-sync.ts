/** consensus for a thread that waits. */
import { askBlocking } from '../blocking/generate.ts'
import type { BlockingOptions } from '../options/blocking-options.ts'
import type { Members } from '../fan-out/members.ts'
import type { Prompt } from '../types.ts'
import type { ConsensusOptions } from './consensus.ts'
import type { Verdict } from './verdict.ts'

/**
 * The verdict of `consensus`, while this thread waits.
 * @throws ConvokeError as `consensus`, and `blocking_unavailable` as `LLM.generate`: also for a member that is no LLM, a
 * strategy with a function (`normalize`, a similarity, a strategy of your own), a prompt that is a function, and a
 * `schema`, of the call or of a member
 */
export function consensusSync(
  llms: Members,
  prompt: Prompt,
  options: BlockingOptions<ConsensusOptions> = {},
): Verdict {
  return askBlocking('consensus', llms, prompt, options)
}
