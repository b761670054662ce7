/** From what the user typed to the request that a provider gets: checks, shorthands, and the bytes of media. */
import { ConvokeError } from '../errors.ts'
import type { MediaPart, RequestMessage } from '../provider.ts'
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

/** Messages that were normalised before, by a session that keeps them in this form. */
export interface NormalizedPrompt {
  normalized: readonly RequestMessage[]
}

interface Conversation {
  system?: string
  messages: RequestMessage[]
}

/**
 * The conversation that a prompt and its options make: system texts gathered, the messages so far, the prompt.
 * @throws ConvokeError `invalid_request` for an empty prompt, an unknown role or part, or a result without its call
 */
export function conversation(
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
            message: 'A system message in mid-conversation was moved to the front.',
          })
        }
        system.push(text(message.content, 'system'))
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
        throw bad(
          `A message has the role ${JSON.stringify((message as Message | undefined)?.role)}. Use system, user, assistant or tool.`,
        )
    }
  }
  // A history may be longer than the arguments of one push() can be.
  for (const message of normalized) messages.push(message)
  if (messages.length === 0) throw bad('The prompt is empty. Pass a text, a message or a list of messages.')
  return system.length ? { system: system.join('\n\n'), messages } : { messages }
}

function given(prompt: Prompt | NormalizedPrompt): {
  typed: readonly Message[]
  normalized: readonly RequestMessage[]
} {
  if (typeof prompt === 'string') return { typed: [{ role: 'user', content: prompt }], normalized: [] }
  if (prompt && 'normalized' in prompt) return { typed: [], normalized: prompt.normalized }
  return { typed: [prompt].flat() as Message[], normalized: [] }
}

function userParts(message: UserMessage): Extract<RequestMessage, { role: 'user' }>['content'] {
  const { content } = message
  if (typeof content === 'string') {
    if (content === '') throw bad('The prompt is empty. Pass a text, a message or a list of messages.')
    return [{ type: 'text', text: content }]
  }
  if (!Array.isArray(content) || content.length === 0) {
    throw bad('A user message has no content. Pass a text or a list of parts.')
  }
  return (content as (TextPart | ImagePart | FilePart | undefined)[]).map((part) => {
    switch (part?.type) {
      case 'text':
        return { type: 'text', text: text(part.text, 'text part') }
      case 'image':
      case 'file':
        return mediaPart(part)
      default:
        throw bad(`A user message has a part of type ${typeOf(part)}. Use text, image or file.`)
    }
  })
}

function assistantParts(
  message: AssistantMessage,
): Extract<RequestMessage, { role: 'assistant' }>['content'] {
  // OpenAI's own form of a turn that only calls tools has null for its text.
  const content = message.content ?? ''
  const text = typeof content === 'string' && content ? [{ type: 'text' as const, text: content }] : []
  const given = typeof content === 'string' ? text : list(content, 'An assistant message')
  const calls = list(message.toolCalls ?? [], 'toolCalls').map((call) => ({
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
        throw bad(
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
      : list(message.content, 'A tool message')
  if (parts.length === 0) throw bad('A tool message has no results. Pass tool-result parts.')
  return parts.map((part) => {
    const { toolCallId, name = names.get(toolCallId), result, isError } = part ?? {}
    if (!toolCallId || name === undefined) {
      throw bad(
        `The tool result ${JSON.stringify(toolCallId)} answers no tool call before it. Pass the assistant message with the call first.`,
      )
    }
    json(result, `the result of the tool ${name}`)
    return { type: 'tool-result', toolCallId, name, result, ...(isError ? { isError } : {}) }
  })
}

function list<T>(value: readonly T[], what: string): readonly T[] {
  if (!Array.isArray(value)) throw bad(`${what} holds ${typeof value} where a list belongs.`)
  return value
}

/** What goes over the wire as JSON must be JSON. */
function json(value: unknown, what: string): unknown {
  try {
    JSON.stringify(value)
    return value
  } catch (cause) {
    throw new ConvokeError('invalid_request', `JSON cannot hold ${what}: pass plain data.`, { cause })
  }
}

function typeOf(part: unknown): string {
  return JSON.stringify((part as { type?: unknown } | null)?.type) ?? String(part)
}

/** @throws ConvokeError `invalid_request` for a value that is no URL, no base64 and no bytes */
export function mediaPart(part: ImagePart | FilePart): MediaPart {
  return part.type === 'image' ? imagePart(part) : filePart(part)
}

function imagePart({ image, mediaType }: ImagePart): MediaPart {
  const source = mediaSource(image, 'image')
  const found = mediaType ?? source.mediaType ?? sniffImage(source.base64) ?? 'image/png'
  return media('image', source, found)
}

function filePart({ file, mediaType, name }: FilePart): MediaPart {
  const source = mediaSource(file, 'file')
  const found = mediaType ?? source.mediaType
  if (!found) throw bad('A file part has no mediaType. Pass one, such as application/pdf.')
  return { ...media('file', source, found), ...(name ? { name } : {}) }
}

type Source = { base64?: string; url?: string; mediaType?: string }

function media(type: 'image' | 'file', { base64, url }: Source, mediaType: string): MediaPart {
  return url === undefined ? { type, mediaType, base64: base64 ?? '' } : { type, mediaType, url }
}

function mediaSource(value: string | URL | Uint8Array, what: string): Source {
  if (value instanceof Uint8Array) {
    return { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  }
  if (value instanceof URL) return mediaSource(value.href, what)
  if (typeof value !== 'string' || value === '') {
    throw bad(
      `An ${what} part holds ${value === '' ? 'an empty text' : typeof value}. Pass a URL, base64 text or bytes.`,
    )
  }
  const data = /^data:([^;,]*)(;[^,]*)?,/.exec(value.slice(0, 200))
  if (data) {
    const rest = value.slice(data[0].length)
    const base64 = data[2]?.endsWith(';base64') ? rest : Buffer.from(unescaped(rest, what)).toString('base64')
    return { base64, ...(data[1] ? { mediaType: data[1] } : {}) }
  }
  if (/^https?:\/\//i.test(value)) return { url: value }
  if (!/^[A-Za-z0-9+/_=\s-]*$/.test(value.slice(0, 400))) {
    throw bad(
      `An ${what} part holds a text that is no URL and no base64: ${value.slice(0, 40)}. Load the file and pass its bytes.`,
    )
  }
  return { base64: value }
}

function unescaped(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    const message = `An ${what} part holds a data URL with a broken % escape.`
    throw new ConvokeError('invalid_request', message, { cause })
  }
}

/** First bytes of the picture formats that vendors take, as base64. */
function sniffImage(base64: string | undefined): string | undefined {
  if (base64?.startsWith('iVBORw0KGgo')) return 'image/png'
  if (base64?.startsWith('/9j/')) return 'image/jpeg'
  if (base64?.startsWith('R0lGOD')) return 'image/gif'
  if (base64?.startsWith('UklGR')) return 'image/webp'
  return undefined
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw bad(`A ${what} holds ${typeof value} where text belongs.`)
  return value
}

function bad(message: string): ConvokeError {
  return new ConvokeError('invalid_request', message)
}
