/** Checks the user's prompt and messages, and writes them in the full form that providers get. */
import type { RequestMessage } from '../provider.ts'
import type {
  AssistantMessage,
  FilePart,
  ImagePart,
  Message,
  Prompt,
  TextPart,
  ToolMessage,
  ToolResultPart,
  UserMessage,
  Warning,
} from '../types.ts'
import { invalidRequest } from './invalid-request.ts'
import { mediaPart } from './media-part.ts'

/** Messages that were normalised before, by a session that keeps them in this form. */
export class NormalizedPrompt {
  readonly messages: readonly RequestMessage[]

  constructor(messages: readonly RequestMessage[]) {
    this.messages = messages
  }
}

interface Conversation {
  system?: string
  messages: RequestMessage[]
}

/**
 * The conversation of a prompt and its options. Its messages are those of the options, then the prompt; all system texts
 * are gathered in `system`.
 * @throws ConvokeError `invalid_request` for an empty prompt, an unknown role or part, or a result without its call
 */
export function normalizePrompt(
  prompt: Prompt | NormalizedPrompt,
  options: { system?: string; messages?: readonly Message[] },
  warn: (warning: Warning) => void,
): Conversation {
  const { typed, normalized } = given(prompt)
  const system: string[] = options.system ? [options.system] : []
  const messages: RequestMessage[] = []
  const toolNames = new Map<string, string>()
  for (const message of [...(options.messages ?? []), ...typed] as Message[]) {
    switch (message?.role) {
      case 'system':
        if (messages.length > 0) {
          warn({
            type: 'changed',
            subject: 'messages',
            message: 'A system message in the middle of the conversation was moved to the front.',
          })
        }
        system.push(text(message.content, 'system message'))
        break
      case 'user':
        messages.push({ role: 'user', content: userParts(message) })
        break
      case 'assistant': {
        const content = assistantParts(message)
        for (const part of content) if (part.type === 'tool-call') toolNames.set(part.id, part.name)
        messages.push({ role: 'assistant', content })
        break
      }
      case 'tool':
        messages.push({ role: 'tool', content: toolParts(message, toolNames) })
        break
      default:
        throw invalidRequest(
          `A message has the role ${JSON.stringify((message as Message | undefined)?.role)}. Use system, user, assistant or tool.`,
        )
    }
  }
  // A history may be longer than the arguments of one push() can be.
  for (const message of normalized) messages.push(message)
  if (messages.length === 0)
    throw invalidRequest('The prompt is empty. Pass a text, a message or a list of messages.')
  return system.length ? { system: system.join('\n\n'), messages } : { messages }
}

function given(prompt: Prompt | NormalizedPrompt): {
  typed: readonly Message[]
  normalized: readonly RequestMessage[]
} {
  if (typeof prompt === 'string') return { typed: [{ role: 'user', content: prompt }], normalized: [] }
  // Known by its class: no field that a user writes leads past the checks.
  if (prompt instanceof NormalizedPrompt) return { typed: [], normalized: prompt.messages }
  return { typed: [prompt].flat() as Message[], normalized: [] }
}

function userParts(message: UserMessage): Extract<RequestMessage, { role: 'user' }>['content'] {
  const { content } = message
  if (typeof content === 'string') {
    if (content === '')
      throw invalidRequest('The prompt is empty. Pass a text, a message or a list of messages.')
    return [{ type: 'text', text: content }]
  }
  if (!Array.isArray(content) || content.length === 0) {
    throw invalidRequest('A user message has no content. Pass a text or a list of parts.')
  }
  return (content as (TextPart | ImagePart | FilePart | undefined)[]).map((part) => {
    switch (part?.type) {
      case 'text':
        return { type: 'text', text: text(part.text, 'text part') }
      case 'image':
      case 'file':
        return mediaPart(part)
      default:
        throw invalidRequest(`A user message has a part of type ${typeOf(part)}. Use text, image or file.`)
    }
  })
}

function assistantParts(
  message: AssistantMessage,
): Extract<RequestMessage, { role: 'assistant' }>['content'] {
  // OpenAI's own form of a message has null for its text when it only calls tools.
  const content = message.content ?? ''
  const text = typeof content === 'string' && content ? [{ type: 'text' as const, text: content }] : []
  const given = typeof content === 'string' ? text : list(content, 'The content of an assistant message')
  const calls = list(message.toolCalls ?? [], 'The field toolCalls').map((call) => ({
    ...call,
    type: 'tool-call' as const,
  }))
  return [...given, ...calls].map((part) => {
    switch (part?.type) {
      case 'text':
      case 'reasoning':
        return part
      case 'tool-call':
        return { ...part, arguments: json(part.arguments, `the arguments of the tool call ${part.name}`) }
      default:
        throw invalidRequest(
          `An assistant message has a part of type ${typeOf(part)}. Use text, reasoning or tool-call.`,
        )
    }
  })
}

function toolParts(
  message: ToolMessage,
  names: ReadonlyMap<string, string>,
): (ToolResultPart & { name: string })[] {
  const parts: readonly ToolResultPart[] =
    'toolCallId' in message
      ? [{ ...message, type: 'tool-result', result: message.content }]
      : list(message.content, 'The content of a tool message')
  if (parts.length === 0) throw invalidRequest('A tool message has no results. Pass tool-result parts.')
  return parts.map((part) => {
    const { toolCallId, name = names.get(toolCallId), result, isError } = part ?? {}
    if (!toolCallId || name === undefined) {
      throw invalidRequest(
        `The tool result ${JSON.stringify(toolCallId)} answers no tool call before it. Pass the assistant message with the call first.`,
      )
    }
    json(result, `the result of the tool ${name}`)
    return { type: 'tool-result', toolCallId, name, result, ...(isError ? { isError } : {}) }
  })
}

/** @param subject begins the sentence of the error */
function list<T>(value: readonly T[], subject: string): readonly T[] {
  if (!Array.isArray(value)) throw invalidRequest(`${subject} has the type ${typeof value}. Pass a list.`)
  return value
}

/** Checks that JSON can hold a value, because it is sent as JSON. */
function json(value: unknown, what: string): unknown {
  try {
    JSON.stringify(value)
    return value
  } catch (cause) {
    throw invalidRequest(`JSON cannot hold ${what}. Pass plain data.`, cause)
  }
}

function typeOf(part: unknown): string {
  return JSON.stringify((part as { type?: unknown } | null)?.type) ?? String(part)
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string')
    throw invalidRequest(`The text of a ${what} has the type ${typeof value}. Pass a string.`)
  return value
}
