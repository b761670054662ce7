/** Reads the option `reasoning`, and decides which reasoning may go back to a vendor. */
import type { ReasoningEffort, ReasoningOption, ReasoningPart } from '../../types.ts'
import type { ChatRequest } from '../../provider.ts'
import { warnChanged } from './unsupported.ts'

/** The option `reasoning` in its full form. `isOn` is undefined when the option was not given. */
export interface ReasoningSettings {
  effort?: ReasoningEffort
  /** The budget, in tokens. */
  maxTokens?: number
  isOn?: boolean
}

export function reasoningOf(option: ReasoningOption | undefined): ReasoningSettings {
  if (option === undefined) return {}
  if (typeof option === 'boolean') return option ? { isOn: true } : { isOn: false, effort: 'none' }
  if (typeof option === 'string') return { effort: option, isOn: option !== 'none' }
  return { ...option, isOn: option.effort !== 'none' }
}

/**
 * Whether a reasoning part may go back to this provider. Signatures are valid only at the provider that made them, so
 * the reasoning of other providers is left out, with a warning.
 */
export function isOwnReasoning(part: ReasoningPart, provider: string, request: ChatRequest): boolean {
  if (part.provider === provider) return true
  const origin = part.provider ?? 'an unnamed provider'
  warnChanged(
    request,
    'reasoning',
    `Reasoning from ${origin} was left out: ${provider} accepts only its own reasoning.`,
  )
  return false
}
