/** How much of a history fits into a model's context window, in whole turns. */
import { ConvokeError } from '../errors.ts'
import { scaleForModel } from '../tokens/count-tokens.ts'
import { messageTokens } from './history-tokens.ts'
import type { HistoryMessage } from './history.ts'

/** How a session keeps what it sends within the model's context window. */
export interface ContextOptions {
  /**
   * Most tokens of system prompt, history and prompt together.
   * @default the model's window, where it is known, without the tokens reserved for the reply
   */
  maxTokens?: number
  /**
   * The treatment of a history that is too long. `trim` sends it without its oldest turns, `compact` has a summary of them
   * written and sends that, `error` throws `context_length_exceeded`. Nothing is removed from the store. @default 'trim'
   */
  onOverflow?: 'trim' | 'compact' | 'error'
}

/** Most tokens of a known window that are reserved for the reply, where the call sets no `maxTokens`. */
const replyTokens = 4_096

/**
 * The tokens of a model's window that are left for the request; Infinity where the window is not known.
 * @param window the model's context window, in tokens
 * @param forReply the call's `maxTokens`
 */
export function budgetOf(
  { maxTokens }: ContextOptions,
  window: number | undefined,
  forReply: number | undefined,
): number {
  if (maxTokens !== undefined) return maxTokens
  if (window === undefined) return Infinity
  return window - Math.min(forReply ?? replyTokens, window / 4)
}

/**
 * The index where the longest end of a history begins that takes at most `budget` tokens. It is the first message of a
 * turn, so that no tool call is parted from its result. 0 when all fits, the history's length when nothing does.
 */
export function cutToFit(history: readonly HistoryMessage[], budget: number, model?: string): number {
  let tokens = 0
  let cut = history.length
  for (let at = history.length - 1; at >= 0; at--) {
    tokens += messageTokens(history[at] as HistoryMessage)
    if (scaleForModel(tokens, model) > budget) break
    if (beginsTurn(history[at], history[at - 1])) cut = at
  }
  return cut
}

/**
 * Whether a turn begins with this message. A prompt of several user messages begins one turn. Tool results belong to the
 * turn of their calls, so they begin none. Messages that were added together count as one turn for each question.
 */
export function beginsTurn(message: HistoryMessage | undefined, before: HistoryMessage | undefined): boolean {
  if (message?.role !== 'user') return false
  return before?.role !== 'user' || before.turn !== message.turn
}

/** @throws ConvokeError `context_length_exceeded`, always: not even what has to be sent fits */
export function throwTooLong(tokens: number, budget: number, remedy: string): never {
  const message = `The request takes about ${tokens} tokens, and ${Math.floor(budget)} are left for it. ${remedy}`
  throw new ConvokeError('context_length_exceeded', message)
}
