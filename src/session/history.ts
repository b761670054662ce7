/** Messages of a session's history: which of them count, and what waits for an answer. */
import type { StoredContent, StoredMessage } from '../store/store.ts'

/** A stored message, with as much of it as is needed to send it again. */
export type HistoryMessage = StoredContent & { id: string } & Pick<
    Partial<StoredMessage>,
    'status' | 'provider' | 'turn' | 'sequence' | 'createdAt'
  >

/**
 * A history without its unanswered turns: replies that failed, were cancelled or were interrupted before their first word
 * are left out, and so are their prompts. A prompt that the vendor refuses would otherwise be sent again with each later
 * turn, and make all of them fail. Filtering a tail gives the tail of the filtered history.
 */
export function dropUnanswered<Message extends HistoryMessage>(history: readonly Message[]): Message[] {
  const kept: Message[] = []
  /** The turn of the empty reply whose prompt is being left out. */
  let droppedTurn: number | undefined
  for (const message of history.toReversed()) {
    if (isEmptyReply(message)) {
      droppedTurn = message.turn
      continue
    }
    if (message.turn !== droppedTurn || message.role === 'assistant' || message.role === 'summary')
      droppedTurn = undefined
    if (droppedTurn === undefined) kept.push(message)
  }
  return kept.reverse()
}

function isEmptyReply(message: HistoryMessage): boolean {
  if (message.role !== 'assistant' || message.status === undefined || message.status === 'complete')
    return false
  if (message.status === 'streaming') return false
  return !message.content.some(
    (part) => part.type === 'tool-call' || (part.type === 'text' && part.text.trim()),
  )
}

/** The texts of a history's summaries, for the system prompt. */
export function summaryOf(history: readonly HistoryMessage[]): string | undefined {
  const texts = history.flatMap((message) => (message.role === 'summary' ? message.content : []))
  return texts.length > 0 ? texts.map(({ text }) => text).join('\n\n') : undefined
}

/** The tool calls at the end of a history that have no result yet: names by the calls' ids. */
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
