/** Maps parts of a request in the ways that several vendors share. */
import type { ToolDefinition } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from './fields.ts'

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
