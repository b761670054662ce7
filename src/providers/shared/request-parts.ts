/** Maps parts of a request in the ways that several vendors share. */
import type { ToolDefinition, ReasoningEffort, ReasoningOption, ReasoningPart } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from './fields.ts'
import { ConvokeError } from '../../errors.ts'

export type UserMessage = Extract<RequestMessage, { role: 'user' }>
export type AssistantMessage = Extract<RequestMessage, { role: 'assistant' }>
export type ToolMessage = Extract<RequestMessage, { role: 'tool' }>

/** The system text as the first message of the conversation; no message when there is none. */
export function systemMessages({ system }: ChatRequest): Fields[] {
  return system === undefined ? [] : [{ role: 'system', content: system }]
}

/** The content of a user's message: a string for a single text, else a list of parts. */
export function userContent(
  { content }: UserMessage,
  mediaPart: (part: MediaPart) => Fields,
): string | Fields[] {
  const [first] = content
  if (content.length === 1 && first?.type === 'text') return first.text
  return content.map((part) => (part.type === 'text' ? { type: 'text', text: part.text } : mediaPart(part)))
}

/** The URL of an image or file, or its bytes as a data URL. */
export function dataUrl(part: MediaPart): string {
  return part.url ?? `data:${part.mediaType};base64,${part.base64}`
}

/** A tool's result as the text that the model reads. */
export function resultText(result: unknown): string {
  return typeof result === 'string' ? result : (JSON.stringify(result) ?? '')
}

/** The arguments of a tool call as JSON text. The text of a custom tool stays as it is. */
export function argumentsText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? {})
}

/** The arguments of a tool call as an object, for vendors that take no text. */
export function argumentsObject(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

/** The JSON Schema of a tool's arguments: an object without properties where the tool has none. */
export function toolParameters(tool: ToolDefinition): Fields {
  return tool.parameters ?? { type: 'object', properties: {} }
}

/** Options that a vendor may lack. Dropping one changes the style of a reply, not its meaning. */
type SoftOption =
  'temperature' | 'topP' | 'topK' | 'frequencyPenalty' | 'presencePenalty' | 'seed' | 'metadata' | 'reasoning'

/**
 * Warns of each option in `names` that the request has, because the vendor does not support it.
 * @param vendor the name in the warning
 * @param remedy a sentence that follows the warning
 */
export function warnUnsupported(
  request: ChatRequest,
  vendor: string,
  names: readonly SoftOption[],
  remedy = '',
): void {
  for (const name of names) {
    if (request[name] === undefined) continue
    request.warn({
      type: 'unsupported-option',
      subject: name,
      message: `${vendor} does not support ${name}; the option was left out.${remedy && ` ${remedy}`}`,
    })
  }
}

/** Warns that a part of the request is sent in another form, or not at all. */
export function warnChanged(request: ChatRequest, subject: string, message: string): void {
  request.warn({ type: 'changed', subject, message })
}

/** @throws ConvokeError `invalid_request`, because the vendor cannot take something that the reply depends on */
export function refuse(request: ChatRequest, provider: string, message: string): never {
  throw new ConvokeError('invalid_request', message, { provider, model: request.model })
}

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
