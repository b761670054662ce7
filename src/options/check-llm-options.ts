/** Checks the options of `createLLM`. */
import { callRules } from './call-rules.ts'
import { checkOptions } from './check-options.ts'
import { llmRules } from './llm-rules.ts'
import type { LLMOptions } from './llm-options.ts'

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkLLMOptions(options: LLMOptions): void {
  checkOptions(options, { ...callRules, ...llmRules }, { code: 'configuration' })
}
