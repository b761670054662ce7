/** From a call's options to the request that a provider gets. */
import { ConvokeError } from '../errors.ts'
import { jsonSchemaOf } from './structured-output.ts'
import { conversation } from './normalize-prompt.ts'
import type { NormalizedPrompt } from './normalize-prompt.ts'
import type { ChatRequest } from '../provider.ts'
import type { Prompt, Warning } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

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
    throw new ConvokeError('configuration', "No model. Pass model, or 'provider/model' to createLLM.")
  }
  /** A retry maps the request again; what it warns of is told once. */
  const told = new Set<string>()
  const warn = (warning: Warning) => {
    if (told.has(warning.message)) return
    told.add(warning.message)
    warnings.push(warning)
  }
  return {
    ...rest,
    ...conversation(prompt, options, warn),
    model,
    ...(stop === undefined ? {} : { stop: [stop].flat() as string[] }),
    connectMs: timeouts.connectMs,
    idleMs: timeouts.idleMs,
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
    warn,
  }
}
