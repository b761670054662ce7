/** Estimated tokens of a history. Each message is counted once. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  estimateInSlices,
  estimateInputTokens,
  estimateTokens,
  scaleForModel,
} from '../tokens/count-tokens.ts'
import type { CountedRequest } from '../tokens/request-texts.ts'
import type { RequestMessage } from '../provider.ts'
import type { HistoryMessage } from './history.ts'

/**
 * Counts of complete messages, which never change. The key holds more than the id: two stores may have messages of the
 * same id.
 */
const counts = new Map<string, number>()
const maxCounts = 50_000
/** Counts of messages that may still change, by the object that was read. */
const unsettledCounts = new WeakMap<HistoryMessage, number>()
/** Characters counted before the event loop gets its turn: some 5 ms. */
const unitsAtOnce = 65_536

/** Tokens of one message, not scaled to any model. Each picture and each file counts as a fixed number. */
export function messageTokens(message: HistoryMessage): number {
  return knownTokens(message) ?? keep(message, estimateInputTokens(requestOf(message)))
}

/** Counts a long history beforehand: in pieces, between which the event loop gets its turn. */
export async function countAhead(history: readonly HistoryMessage[]): Promise<void> {
  let units = 0
  for (const message of history) {
    if (knownTokens(message) !== undefined) continue
    const counting = estimateInSlices(requestOf(message))
    let step = counting.next()
    for (; !step.done; step = counting.next()) {
      units += step.value
      if (units < unitsAtOnce) continue
      units = 0
      await nextTurn()
    }
    keep(message, step.value)
  }
}

/** Tokens of a history and its system prompt, scaled to what the model's own tokenizer counts. */
export function totalTokens(
  history: readonly HistoryMessage[],
  system: string | undefined,
  model: string | undefined,
): number {
  const tokens = history.reduce((sum, message) => sum + messageTokens(message), estimateTokens(system ?? ''))
  return scaleForModel(tokens, model)
}

function knownTokens(message: HistoryMessage): number | undefined {
  return counts.get(keyOf(message)) ?? unsettledCounts.get(message)
}

function keyOf({ id, sequence, createdAt }: HistoryMessage): string {
  return `${id} ${sequence} ${createdAt?.getTime()}`
}

function keep(message: HistoryMessage, tokens: number): number {
  // An interrupted reply may still be completed: its writer may only have seemed dead.
  if (message.status === 'streaming' || message.status === 'interrupted') {
    unsettledCounts.set(message, tokens)
    return tokens
  }
  if (counts.size >= maxCounts) counts.clear()
  counts.set(keyOf(message), tokens)
  return tokens
}

function requestOf(message: HistoryMessage): CountedRequest {
  // A summary is sent as part of the system prompt.
  if (message.role === 'summary') return { model: '', system: message.content[0]?.text ?? '', messages: [] }
  const content = message.content.map((part) =>
    part.type === 'image' || part.type === 'file' ? media : part,
  )
  return { model: '', messages: [{ role: message.role, content } as RequestMessage] }
}

const media = { type: 'image', mediaType: '', base64: '' } as const
