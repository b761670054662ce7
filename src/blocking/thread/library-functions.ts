/**
 * The functions of the library that the waiting thread can call by their names. Most scripts ask one LLM at a time, so the
 * functions that ask several are loaded at first use.
 */
import type { ConsensusOptions } from '../../consensus/consensus.ts'
import type { Strategy } from '../../consensus/strategy.ts'
import type { Members } from '../../fan-out/members.ts'
import { serializeErrorsIn } from '../../threads/serialize-error.ts'
import { countTokens } from '../../tokens/count-tokens.ts'
import type { Prompt } from '../../types.ts'
import type { SerializedArgument } from '../protocol.ts'
import { deserializeArgument } from './deserialize-argument.ts'

export const libraryFunctions = {
  countTokens,
  async fanOut(
    llms: SerializedArgument,
    prompt: Prompt,
    strategy: SerializedArgument | undefined,
    options: object,
  ) {
    const { fanOut } = await import('../../fan-out/fan-out.ts')
    const given: object = {
      ...options,
      ...(strategy ? { strategy: await deserializeArgument(strategy) } : {}),
    }
    return serializeErrorsIn(await fanOut((await deserializeArgument(llms)) as Members, prompt, given))
  },
  async consensus(
    llms: SerializedArgument,
    prompt: Prompt,
    strategy: SerializedArgument | undefined,
    options: object,
  ) {
    const { consensus } = await import('../../consensus/consensus.ts')
    const made = strategy ? { strategy: (await deserializeArgument(strategy)) as Strategy } : {}
    const given: ConsensusOptions = { ...options, ...made }
    return serializeErrorsIn(await consensus((await deserializeArgument(llms)) as Members, prompt, given))
  },
}
