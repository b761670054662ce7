/** consensus for blocking code. */
import { askBlocking } from '../blocking/generate.ts'
import type { BlockingOptions } from '../options/generate-options.ts'
import type { Members } from '../fan-out/members.ts'
import type { Prompt } from '../types.ts'
import type { ConsensusOptions } from './consensus.ts'
import type { Verdict } from './verdict.ts'

/**
 * `consensus` for blocking code: this thread waits for the verdict.
 * @throws ConvokeError the errors of `consensus`, and `blocking_unavailable` as from `LLM.generate`; besides that for a
 * member that createLLM or a combinator did not make, for a strategy with a function (`normalize`, a similarity, a strategy
 * of your own), for a prompt that is a function, and for a `schema` of the call or a member
 */
export function consensusSync(
  llms: Members,
  prompt: Prompt,
  options: BlockingOptions<ConsensusOptions> = {},
): Verdict {
  return askBlocking('consensus', llms, prompt, options)
}
