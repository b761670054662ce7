/** Makes the request that a provider gets from a call's prompt and options. */
import { ConvokeError } from '../errors.ts'
import { jsonSchemaOf } from './structured-output.ts'
import { normalizePrompt } from './normalize-prompt.ts'
import type { NormalizedPrompt } from './normalize-prompt.ts'
import type { ChatRequest } from '../provider.ts'
import type { Prompt, Warning } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/**
 * @param warnings gets the warnings of the mapping, each once
 * @throws ConvokeError `configuration` without a model, `invalid_request` for a prompt or a schema that cannot be sent
 */
export function chatRequest(
  prompt: Prompt | NormalizedPrompt,
  options: GenerateOptions,
  timeouts: { connectMs: number; idleMs: number },
  warnings: Warning[],
): ChatRequest {
  const {
    model,
    stop,
    signal: _signal,
    schema,
    timeouts: _timeouts,
    retry: _retry,
    streamConfig: _config,
    ...rest
  } = options
  if (!model) {
    throw new ConvokeError('configuration', "No model. Pass model, or pass 'provider/model' to createLLM.")
  }
  // A retry maps the request again, and must not repeat its warnings.
  const given = new Set<string>()
  const warn = (warning: Warning) => {
    if (given.has(warning.message)) return
    given.add(warning.message)
    warnings.push(warning)
  }
  return {
    ...rest,
    ...normalizePrompt(prompt, options, warn),
    model,
    ...(stop === undefined ? {} : { stop: [stop].flat() as string[] }),
    connectMs: timeouts.connectMs,
    idleMs: timeouts.idleMs,
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
    warn,
  }
}
