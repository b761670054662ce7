/** A prompt as messages that a session can store. */
import { ConvokeError } from '../errors.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import type { MediaPart, RequestMessage } from '../provider.ts'
import type { StoredContent } from '../store/store.ts'
import type { FilePart, ImagePart, Message, Prompt } from '../types.ts'
import { openCalls } from './history.ts'
import type { HistoryMessage } from './history.ts'
import { isBlank } from './is-blank.ts'

/**
 * The messages to store for a prompt that follows this history.
 * @throws ConvokeError `invalid_request` for whatever a call refuses as a prompt, and for a system message, a user message
 * of nothing but white space, and a tool result that answers no open call
 */
export function storablePrompt(prompt: Prompt, history: readonly HistoryMessage[]): StoredContent[] {
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

function asStored(message: RequestMessage): StoredContent {
  if (message.role !== 'user') return message
  const content = message.content.map((part) => (part.type === 'text' ? part : asMedia(part)))
  return { role: 'user', content }
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
