/** What of a history fits into a model's context window, in whole turns. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConvokeError } from '../errors.ts'
import { estimateByPieces, estimateInputTokens, estimateTokens, scaled } from '../tokens/count-tokens.ts'
import type { CountedRequest } from '../tokens/request-texts.ts'
import type { RequestMessage } from '../provider.ts'
import type { HistoryMessage } from './history.ts'

/** How a session keeps its history within the model's window. */
export interface ContextOptions {
  /** Tokens of system prompt, history and prompt together. @default the model's window, where it is known, less the reply */
  maxTokens?: number
  /**
   * `trim` leaves out the oldest turns, `compact` lets a summary of them stand in their place, `error` is
   * `context_length_exceeded`. Nothing is removed from the store. @default 'trim'
   */
  onOverflow?: 'trim' | 'compact' | 'error'
}

/** A reply gets at most so much of a window that is known, where the call does not say. */
const replyTokens = 4_096

/** Tokens that are left of a model's window for what is sent. */
export function budgetOf(
  { maxTokens }: ContextOptions,
  window: number | undefined,
  forReply: number | undefined,
): number {
  if (maxTokens !== undefined) return maxTokens
  if (window === undefined) return Infinity
  return window - Math.min(forReply ?? replyTokens, window / 4)
}

/** Messages never change once they are whole. Their ids alone are not enough: those of another store may be the same. */
const counted = new Map<string, number>()
const maxCounted = 50_000
/** Of those that may change, as they were read. */
const countedNow = new WeakMap<HistoryMessage, number>()
/** Characters counted in one go: some 5 ms. */
const unitsAtOnce = 65_536

/** Tokens of one message, estimated for no model in particular; pictures and files count by their number. */
export function messageTokens(message: HistoryMessage): number {
  return knownTokens(message) ?? keep(message, estimateInputTokens(requestOf(message)))
}

function knownTokens(message: HistoryMessage): number | undefined {
  return counted.get(keyOf(message)) ?? countedNow.get(message)
}

function keyOf({ id, sequence, createdAt }: HistoryMessage): string {
  return `${id} ${sequence} ${createdAt?.getTime()}`
}

function keep(message: HistoryMessage, tokens: number): number {
  // Of one that was taken for dead the whole reply may follow.
  if (message.status === 'streaming' || message.status === 'interrupted') {
    countedNow.set(message, tokens)
    return tokens
  }
  if (counted.size >= maxCounted) counted.clear()
  counted.set(keyOf(message), tokens)
  return tokens
}

/** Counts a long history beforehand, long texts in pieces, and lets the event loop go round meanwhile. */
export async function countAhead(history: readonly HistoryMessage[]): Promise<void> {
  let units = 0
  for (const message of history) {
    if (knownTokens(message) !== undefined) continue
    const counting = estimateByPieces(requestOf(message))
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

/** As the model reads them. */
export function totalTokens(
  history: readonly HistoryMessage[],
  system: string | undefined,
  model: string | undefined,
): number {
  const tokens = history.reduce((sum, message) => sum + messageTokens(message), estimateTokens(system ?? ''))
  return scaled(tokens, model)
}

/**
 * Where the part of a history begins that takes at most `budget` tokens: at the first message of a turn, so that no tool
 * call is parted from its result. 0 when all fits, its length when nothing does.
 */
export function cutToFit(history: readonly HistoryMessage[], budget: number, model?: string): number {
  let tokens = 0
  let cut = history.length
  for (let at = history.length - 1; at >= 0; at--) {
    tokens += messageTokens(history[at] as HistoryMessage)
    if (scaled(tokens, model) > budget) break
    if (beginsTurn(history[at], history[at - 1])) cut = at
  }
  return cut
}

/**
 * Whether a turn begins here: a prompt may be several messages of its user. Results of tools go on with the turn of their
 * calls, and what was added at once is as many turns as its user had.
 */
export function beginsTurn(message: HistoryMessage | undefined, before: HistoryMessage | undefined): boolean {
  if (message?.role !== 'user') return false
  return before?.role !== 'user' || before.turn !== message.turn
}

/** @throws ConvokeError `context_length_exceeded`: what has to be sent takes more than there is */
export function tooLong(tokens: number, budget: number, remedy: string): never {
  const message = `The request takes about ${tokens} tokens, and ${Math.floor(budget)} are left for it. ${remedy}`
  throw new ConvokeError('context_length_exceeded', message)
}

function requestOf(message: HistoryMessage): CountedRequest {
  // It goes with the system prompt, and is no message there.
  if (message.role === 'summary') return { model: '', system: message.content[0]?.text ?? '', messages: [] }
  const content = message.content.map((part) =>
    part.type === 'image' || part.type === 'file' ? media : part,
  )
  return { model: '', messages: [{ role: message.role, content } as RequestMessage] }
}

const media = { type: 'image', mediaType: '', base64: '' } as const
