/** The option of combinators that says after which errors another LLM is asked. */
import { errorCodes } from '../errors.ts'
import type { ConvokeError, ErrorCode } from '../errors.ts'
import type { OptionRule } from '../options/option-rules.ts'

/** The errors after which another LLM is asked: their codes, or a function that is true for them. */
export type FailoverRule = readonly ErrorCode[] | ((error: ConvokeError) => boolean)

/**
 * The errors after which another vendor, model or key may help: the default of the option `on` of `fallback` and
 * `balance`, which can extend it. Left out are errors that another LLM would repeat (`invalid_request`, `configuration`),
 * a refusal by content (`content_filtered`), a complete reply that does not fit the schema (`invalid_output`), and ends
 * that the caller caused.
 */
export const fallbackCodes: readonly ErrorCode[] = [
  'rate_limited',
  'overloaded',
  'server_error',
  'connection',
  'timeout',
  'stream_truncated',
  'malformed_response',
  'circuit_open',
  'queue_full',
  'authentication',
  'permission',
  'model_not_found',
  'context_length_exceeded',
  'missing_dependency',
]

/** The rule of an option that is a `FailoverRule`. */
export const failoverRule: OptionRule = {
  type: 'either',
  rules: [{ type: 'list', of: { type: 'choice', choices: errorCodes } }, { type: 'function' }],
  wanted: "a list of codes, such as [...fallbackCodes, 'invalid_output'], or a function",
}
