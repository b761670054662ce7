/** Small steps that several vendors' mappings share: what a part becomes, and what a vendor cannot take. */
import { ConvokeError } from '../../errors.ts'
import type { ReasoningEffort, ReasoningOption, ReasoningPart, ToolDefinition } from '../../types.ts'
import type { ChatRequest, MediaPart, ProviderChunk } from '../../provider.ts'

/** The vendor is at work on the reply, and has nothing to show yet. A ping says less: that its server lives. */
export const signOfLife: ProviderChunk = { type: 'text', content: '' }

/** Options that a vendor may not have; dropping one changes the style of a reply, not its meaning. */
type SoftOption =
  'temperature' | 'topP' | 'topK' | 'frequencyPenalty' | 'presencePenalty' | 'seed' | 'metadata' | 'reasoning'

/** Warns of the options among `names` that were given and that this vendor does not have. */
export function warnUnsupported(
  request: ChatRequest,
  vendor: string,
  names: readonly SoftOption[],
  why = '',
): void {
  for (const name of names) {
    if (request[name] === undefined) continue
    request.warn({
      type: 'unsupported-option',
      subject: name,
      message: `${vendor} has no ${name}; it was left out.${why && ` ${why}`}`,
    })
  }
}

/** @throws ConvokeError `invalid_request`: this vendor has no place for something that the reply depends on */
export function refuse(provider: string, model: string, message: string): never {
  throw new ConvokeError('invalid_request', message, { provider, model })
}

export function dataUrl(part: MediaPart): string {
  return part.url ?? `data:${part.mediaType};base64,${part.base64}`
}

/** A tool's result as the text that the model reads. */
export function resultText(result: unknown): string {
  return typeof result === 'string' ? result : (JSON.stringify(result) ?? '')
}

/** The arguments of a call as JSON text; text of a custom tool stays as it is. */
export function argumentsText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? {})
}

/** The arguments of a call as an object, for vendors that take no text. */
export function argumentsObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

export function toolParameters(tool: ToolDefinition): Record<string, unknown> {
  return tool.parameters ?? { type: 'object', properties: {} }
}

/**
 * Whether a schema is one that OpenAI's strict mode takes: every object closed, and all of its properties required.
 * Source: OpenAI, "Structured Outputs", supported schemas.
 */
export function isStrictSchema(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(isStrictSchema)
  if (typeof schema !== 'object' || schema === null) return true
  const { type, properties, required, additionalProperties } = schema as Record<string, unknown>
  if (type === 'object') {
    const names = Object.keys((properties as object | undefined) ?? {})
    const needed = new Set((required as string[] | undefined) ?? [])
    if (additionalProperties !== false || !names.every((name) => needed.has(name))) return false
  }
  return Object.values(schema).every(isStrictSchema)
}

/** The effort word and the token budget of a reasoning option. */
export function reasoningOf(option: ReasoningOption | undefined): {
  effort?: ReasoningEffort
  maxTokens?: number
  isOn?: boolean
} {
  if (option === undefined) return {}
  if (typeof option === 'boolean') return option ? { isOn: true } : { isOn: false, effort: 'none' }
  if (typeof option === 'string') return { effort: option, isOn: option !== 'none' }
  return { ...option, isOn: option.effort !== 'none' }
}

/**
 * Whether a reasoning part may go back to this provider: only to the one that made it, since signatures are its own.
 * Others are left out; the caller is told once.
 */
export function isOwnReasoning(part: ReasoningPart, provider: string, request: ChatRequest): boolean {
  if (part.provider === provider) return true
  request.warn({
    type: 'changed',
    subject: 'reasoning',
    message: `Reasoning made by ${part.provider ?? 'an unnamed provider'} was left out: ${provider} takes only its own.`,
  })
  return false
}

/** The fields of a body that an endpoint takes which counts tokens; it refuses those of generating alone. */
export function pick(body: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([name]) => names.includes(name)))
}
