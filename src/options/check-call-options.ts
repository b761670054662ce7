/** Checks the options of calls and of `createLLM`. */
import { callRules, llmRules } from './call-rules.ts'
import { checkOptions } from './check-options.ts'
import type { GenerateOptions } from './generate-options.ts'
import type { LLMOptions } from './llm-options.ts'
import type { OptionRules } from './option-rules.ts'

const rules: OptionRules = { ...callRules, stream: { type: 'any' } }

/**
 * @param own the rules of further options, for a function that takes them beside those of a call, and its name
 * @throws ConvokeError `invalid_request` for an option that does not exist or a value that it cannot have
 */
export function checkCallOptions(
  options: GenerateOptions & { stream?: boolean },
  own: { label?: string; rules?: OptionRules } = {},
): void {
  const { label, rules: ownRules } = own
  checkOptions(options, ownRules ? { ...rules, ...ownRules } : rules, {
    code: 'invalid_request',
    explainUnknown,
    ...(label === undefined ? {} : { label }),
  })
}

function explainUnknown(name: string): string | undefined {
  if (name === 'blocking') {
    return 'The option blocking belongs to createLLM and to generate(), not to an awaited call.'
  }
  return Object.hasOwn(llmRules, name) ? `The option ${name} belongs to createLLM, not to a call.` : undefined
}

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkLLMOptions(options: LLMOptions): void {
  checkOptions(options, { ...callRules, ...llmRules }, { code: 'configuration' })
}
