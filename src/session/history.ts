/** Between what is stored and what is sent: prompts as messages to keep, and a history that the strictest vendor takes. */
import { createHash } from 'node:crypto'
import { ConvokeError } from '../errors.ts'
import { mediaPart } from '../request/media-part.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import type { MediaPart, RequestMessage } from '../provider.ts'
import type { StoredContent, StoredMessage } from '../store/store.ts'
import type { AssistantPart, FilePart, ImagePart, Message, Prompt, TextPart } from '../types.ts'

/** What the model reads where a tool call never got its result. */
const noResult = 'There is no result: the conversation was interrupted before this tool had answered.'

/** A message of a history, as far as sending it goes. */
export type HistoryMessage = StoredContent & { id: string } & Pick<
    Partial<StoredMessage>,
    'status' | 'provider' | 'turn' | 'sequence' | 'createdAt'
  >

/**
 * The messages of a history as `provider` accepts them: roles alternate, every tool call has its result (a word that
 * there is none, where the turn was interrupted), nothing is empty. What another vendor signed, and ids that only that
 * vendor takes, are left out or renamed.
 */
export function sendable(history: readonly HistoryMessage[], provider: string): RequestMessage[] {
  const sent: RequestMessage[] = []
  /** Calls of the last reply that wait for their result, by the ids that are sent. */
  let open = new Map<string, string>()
  const ids = new Map<string, string>()
  const close = () => {
    if (open.size === 0) return
    const results = [...open].map(([toolCallId, name]) => ({
      type: 'tool-result' as const,
      toolCallId,
      name,
      result: noResult,
      isError: true,
    }))
    open = new Map()
    append(sent, { role: 'tool', content: results })
  }
  for (const message of history) {
    if (message.role === 'summary') continue
    if (message.role === 'tool') {
      const content = message.content.flatMap((part) => {
        const toolCallId = ids.get(part.toolCallId) ?? part.toolCallId
        const name = open.get(toolCallId)
        return name !== undefined && open.delete(toolCallId)
          ? [{ ...part, toolCallId, name: part.name ?? name }]
          : []
      })
      if (content.length > 0) append(sent, { role: 'tool', content })
      continue
    }
    if (message.role === 'user') {
      const content = message.content.filter((part) => !isBlank(part))
      if (content.length === 0) continue
      close()
      append(sent, { role: 'user', content: content.map(asSent) })
      continue
    }
    close()
    const content = replyParts(message, provider, ids)
    if (content.length === 0) continue
    append(sent, { role: 'assistant', content })
    for (const part of content) if (part.type === 'tool-call') open.set(part.id, part.name)
  }
  close()
  // A conversation begins with its user.
  const first = sent.findIndex(({ role }) => role === 'user')
  return first > 0 ? sent.slice(first) : sent
}

/**
 * A history without what brought nothing: replies that failed, were cancelled or interrupted before they had said a word,
 * and what they were to answer. Sent again with the next prompt, one that the vendor refuses would spoil every turn
 * behind it. What is left of the end of a history is the end of what is left of it all.
 */
export function answered<Message extends HistoryMessage>(history: readonly Message[]): Message[] {
  const kept: Message[] = []
  /** The turn whose reply said nothing, while its prompt is passed. */
  let dead: number | undefined
  for (const message of history.toReversed()) {
    if (isUnsaid(message)) {
      dead = message.turn
      continue
    }
    if (message.turn !== dead || message.role === 'assistant' || message.role === 'summary') dead = undefined
    if (dead === undefined) kept.push(message)
  }
  return kept.reverse()
}

function isUnsaid(message: HistoryMessage): boolean {
  if (message.role !== 'assistant' || message.status === undefined || message.status === 'complete')
    return false
  if (message.status === 'streaming') return false
  return !message.content.some(
    (part) => part.type === 'tool-call' || (part.type === 'text' && part.text.trim()),
  )
}

/** The summaries of a history, as text for the system prompt. */
export function summaryOf(history: readonly HistoryMessage[]): string | undefined {
  const texts = history.flatMap((message) => (message.role === 'summary' ? message.content : []))
  return texts.length > 0 ? texts.map(({ text }) => text).join('\n\n') : undefined
}

/**
 * A prompt as messages to be stored behind this history.
 * @throws ConvokeError `invalid_request` for what any prompt is refused for, for a system message, for a user message of
 * nothing but white space, and for a tool result that answers no open call
 */
export function storable(prompt: Prompt, history: readonly HistoryMessage[]): StoredContent[] {
  const calls = [...openCalls(history)].map(([id, name]) => ({
    type: 'tool-call' as const,
    id,
    name,
    arguments: {},
  }))
  const before: Message[] = calls.length > 0 ? [{ role: 'assistant', content: calls }] : []
  const { system, messages } = normalizePrompt(prompt, { messages: before }, () => {})
  if (system !== undefined) {
    throw bad(
      'A session has its own system prompt. Pass system to createSession, or as an option of the call.',
    )
  }
  const added = messages.slice(before.length)
  for (const message of added) {
    if (message.role === 'user' && message.content.every(isBlank)) {
      throw bad('A user message is blank. Pass a text with words, a picture or a file.')
    }
  }
  const contents = added.map(asStored)
  checkToolResults(contents, history)
  return contents
}

/** @throws ConvokeError `invalid_request` for a tool result that answers no open call of this history */
export function checkToolResults(added: readonly StoredContent[], history: readonly HistoryMessage[]): void {
  const open = openCalls(history)
  for (const message of added) {
    if (message.role === 'assistant')
      for (const part of message.content) if (part.type === 'tool-call') open.set(part.id, part.name)
    if (message.role !== 'tool') continue
    for (const { toolCallId } of message.content) {
      if (open.delete(toolCallId)) continue
      throw bad(`The tool result ${JSON.stringify(toolCallId)} answers no open tool call of this session.`)
    }
  }
}

/** Tool calls at the end of a history that have no result yet: ids and names. */
export function openCalls(history: readonly HistoryMessage[]): Map<string, string> {
  const open = new Map<string, string>()
  const at = history.findLastIndex(({ role }) => role === 'assistant')
  for (const message of at < 0 ? [] : history.slice(at)) {
    if (message.role === 'user') open.clear()
    else if (message.role === 'tool') for (const { toolCallId } of message.content) open.delete(toolCallId)
    else if (message.role === 'assistant') {
      for (const part of message.content) if (part.type === 'tool-call') open.set(part.id, part.name)
    }
  }
  return open
}

function append(sent: RequestMessage[], message: RequestMessage): void {
  const last = sent.at(-1)
  if (last?.role !== message.role) {
    sent.push(message)
    return
  }
  // Each list was made for this: to copy it for every message would be quadratic.
  const content = last.content as unknown[]
  for (const part of message.content) content.push(part)
}

function isBlank(part: { type: string; text?: string }): boolean {
  return part.type === 'text' && part.text?.trim() === ''
}

/** The parts of a reply that may be sent to `provider`. */
function replyParts(
  message: Extract<HistoryMessage, { role: 'assistant' }>,
  provider: string,
  ids: Map<string, string>,
): AssistantPart[] {
  const isForeign = message.provider !== undefined && message.provider !== provider
  const parts = message.content.flatMap((part): AssistantPart[] => {
    switch (part.type) {
      case 'text': {
        const { signature, ...plain } = part
        if (part.text.trim() === '' && (isForeign || !signature)) return []
        return [isForeign ? plain : part]
      }
      case 'reasoning': {
        const isWhole = message.status === 'complete' || message.status === undefined || part.signature
        return part.provider === provider && isWhole ? [part] : []
      }
      case 'tool-call': {
        const { signature: _signature, ...plain } = part
        const id = isForeign ? neutralId(part.id) : part.id
        ids.set(part.id, id)
        return [isForeign ? { ...plain, id } : part]
      }
      default:
        return part satisfies never
    }
  })
  return parts.some(({ type }) => type !== 'reasoning') ? parts : []
}

/** An id of a tool call that every vendor takes; the narrowest is Mistral's: nine letters and digits. */
function neutralId(id: string): string {
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : `c${createHash('sha256').update(id).digest('hex').slice(0, 8)}`
}

function asStored(message: RequestMessage): StoredContent {
  if (message.role !== 'user') return message
  const content = message.content.map((part) => (part.type === 'text' ? part : asMedia(part)))
  return { role: 'user', content }
}

function asSent(part: TextPart | ImagePart | FilePart): TextPart | MediaPart {
  return part.type === 'text' ? part : mediaPart(part)
}

function asMedia(part: MediaPart): ImagePart | FilePart {
  const { type, mediaType, name } = part
  const source = part.url ?? part.base64
  if (type === 'image') return { type, image: source, mediaType }
  return { type, file: source, mediaType, ...(name === undefined ? {} : { name }) }
}

function bad(message: string): ConvokeError {
  return new ConvokeError('invalid_request', message)
}
