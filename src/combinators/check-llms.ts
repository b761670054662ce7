/** Checks the LLMs that combinators take. */
import { ConvokeError } from '../errors.ts'
import { LLM } from '../llm/llm.ts'
import { describeValue } from '../options/check-options.ts'

/** @throws ConvokeError `configuration` for anything but an LLM */
export function checkLLMs(combinator: string, given: readonly unknown[], least = 1): readonly LLM[] {
  if (!Array.isArray(given) || given.length < least) {
    const wanted = least === 1 ? 'at least one LLM' : `at least ${least} LLMs`
    throw new ConvokeError('configuration', `[${combinator}] It takes ${wanted}. Make one with createLLM.`)
  }
  given.forEach((llm, at) => {
    if (llm instanceof LLM) return
    throw new ConvokeError(
      'configuration',
      `[${combinator}] LLM number ${at + 1} is ${describeValue(llm)}; it takes an LLM. Make one with createLLM.`,
    )
  })
  return given as readonly LLM[]
}

/** The LLMs and the options: a list and what follows it, or (deprecated) one LLM after the other, and then options. */
export function split<Options extends object>(
  combinator: string,
  given: readonly (LLM | readonly LLM[] | Options | undefined)[],
): { llms: readonly LLM[]; options: Options | undefined } {
  const [first, second] = given
  if (Array.isArray(first))
    return { llms: checkLLMs(combinator, first), options: second as Options | undefined }
  const last = given.at(-1)
  const hasOptions = typeof last === 'object' && last !== null && !(last instanceof LLM)
  const llms = checkLLMs(combinator, hasOptions ? given.slice(0, -1) : given)
  return { llms, options: hasOptions ? (last as Options) : undefined }
}
