/** withDefaults: an LLM whose calls have other defaults. */
import type { LLM } from '../llm/llm.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { ResponseTo } from '../options/response-to.ts'
import type { GenerateResponse } from '../types.ts'
import { combine } from './combined-backend.ts'
import { checkLLMs } from './check-llms.ts'

/**
 * The same LLM, with the same limits and connections, whose calls take these options by default. They win over the LLM's
 * own defaults, and a call's own options win over them.
 *
 * @example
 * const terse = withDefaults(llm, { system: 'One word.', maxTokens: 10 })
 *
 * @throws ConvokeError `configuration` for what is no LLM, `invalid_request` for a bad option
 */
export function withDefaults<
  Output = never,
  Tool extends string = never,
  Default extends GenerateResponse = GenerateResponse,
>(llm: LLM<Default>, options: GenerateOptions<Output, Tool>): LLM<ResponseTo<Output, Tool, Default>>
export function withDefaults(llm: LLM, options: GenerateOptions): LLM {
  const members = checkLLMs('withDefaults', [llm])
  checkCallOptions(options, { label: 'withDefaults' })
  return combine({
    name: 'withDefaults',
    members,
    own: options,
    options,
    work: (call, sink) => call.ask(llm.backend, sink, call.scope.handsOver),
  })
}
