/** What combinators are given: LLMs, and options behind them. */
import { didYouMean } from '../options/did-you-mean.ts'
import { ConvokeError } from '../errors.ts'
import { LLM } from '../llm/llm.ts'

/** @throws ConvokeError `configuration` for anything but an LLM */
export function checkLLMs(combinator: string, given: readonly unknown[], least = 1): readonly LLM[] {
  if (!Array.isArray(given) || given.length < least) {
    const wanted = least === 1 ? 'an LLM at least' : `${least} LLMs at least`
    throw new ConvokeError('configuration', `${combinator} takes ${wanted}. Make one with createLLM.`)
  }
  given.forEach((llm, at) => {
    if (llm instanceof LLM) return
    const shown = typeof llm === 'string' ? JSON.stringify(llm.slice(0, 60)) : typeof llm
    throw new ConvokeError(
      'configuration',
      `${combinator} takes LLMs; number ${at + 1} is ${llm === null ? 'null' : shown}. Make one with createLLM.`,
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

export type Checks<Options> = Record<keyof Options & string, [(value: unknown) => boolean, string]>

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkOptions<Options extends object>(
  combinator: string,
  options: Options,
  checks: Checks<Required<Options>>,
): void {
  const rules = checks as Record<string, [(value: unknown) => boolean, string]>
  if (typeof options !== 'object' || options === null) {
    throw new ConvokeError(
      'configuration',
      `The options of ${combinator} are ${String(options)}; pass an object.`,
    )
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (!rule) {
      const hint = didYouMean(name, Object.keys(rules))
      throw new ConvokeError('configuration', `${combinator} has no option ${name}.${hint}`)
    }
    const [isRight, wanted] = rule
    if (isRight(value)) continue
    const shown = typeof value === 'object' ? 'an object' : JSON.stringify(value)
    throw new ConvokeError(
      'configuration',
      `The option ${name} of ${combinator} is ${shown}; it takes ${wanted}.`,
    )
  }
}

export const isAmount = (value: unknown): boolean =>
  typeof value === 'number' && value > 0 && Number.isFinite(value)
