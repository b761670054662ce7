/** Chooses what a turn sends: its own messages, and as much of the history before them as fits the context window. */
import type { LLM } from '../llm/llm.ts'
import { contextWindow } from '../usage/cost.ts'
import type { Store, StoredMessage } from '../store/store.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { compact } from './compaction.ts'
import { beginsTurn, budgetOf, cutToFit, throwTooLong } from './context-window.ts'
import type { ContextOptions } from './context-window.ts'
import { countAhead, totalTokens } from './history-tokens.ts'
import { dropUnanswered } from './history.ts'
import type { HistoryMessage } from './history.ts'
import { readTail, turnNumber } from './read-tail.ts'

/** The position of a running turn on its branch. */
export interface TurnPosition {
  sessionId: string
  /** The turn's number when it began. Messages that are added while it runs raise it. */
  turn: number
  /** The turn's reply, which is stored and empty. */
  replyId: string
}

export interface FitContext {
  store: Store
  llm: LLM
  context: ContextOptions
  /** The session's system prompt. */
  system: string | undefined
  /** The call's options. */
  options: GenerateOptions
  signal: AbortSignal
}

/** The messages to send, oldest first, and the system prompt without the summaries. */
export interface FittedContext {
  history: HistoryMessage[]
  system?: string
}

/** The tokens that may be sent, and what they are counted for. */
interface Limit {
  budget: number
  system: string | undefined
  model: string | undefined
}

/** The messages of a branch, divided from a turn's point of view. */
interface Branch {
  summaries: HistoryMessage[]
  /** The messages before the turn. */
  before: HistoryMessage[]
  /** The messages that must be sent: those of the turn. When these are tool results, all since the question that led to the calls. */
  own: HistoryMessage[]
}

/**
 * The history and the system prompt that a turn sends. Where the window is known, the branch is read from its end until
 * the window is full; otherwise it is read and sent in full.
 * @throws ConvokeError `context_length_exceeded` when what must be sent does not fit; with `onOverflow: 'compact'` also the
 * error of the call that writes the summary
 */
export async function fitContext(position: TurnPosition, context: FitContext): Promise<FittedContext> {
  const { store } = context
  const limit = await limitOf(context)
  const branch = await readBranch(position, store, limit)
  if (branch.tokens <= limit.budget) return whole(branch, limit)
  switch (context.context.onOverflow) {
    case 'error':
      return wholeOrThrow(await readWhole(position, store), limit)
    case 'compact':
      return compacted(await readWhole(position, store), position, limit, context)
    default:
      return trimmed(branch, limit)
  }
}

/** Tokens that an LLM's context window leaves for a request: for several candidates, those of the smallest window. */
export async function windowBudget(
  llm: LLM,
  context: ContextOptions,
  options: GenerateOptions = {},
): Promise<number> {
  const budgets = llm.candidates(options).map(async ({ provider, model, maxTokens }) => {
    const window = model === undefined ? undefined : await contextWindow(provider, model)
    return budgetOf(context, window, maxTokens)
  })
  return Math.min(...(await Promise.all(budgets)))
}

async function limitOf({ llm, context, system, options }: FitContext): Promise<Limit> {
  return {
    budget: await windowBudget(llm, context, options),
    system: options.system ?? system ?? llm.defaults.system,
    model: options.model ?? llm.model,
  }
}

async function readBranch(
  position: TurnPosition,
  store: Store,
  limit: Limit,
): Promise<Branch & { tokens: number }> {
  // Without a limit the tokens are not needed, and counting a long history takes time.
  if (limit.budget === Infinity) return { ...(await readWhole(position, store)), tokens: 0 }
  const messages = await readTail(store, position.sessionId, async (read) => {
    const branch = divide(read, position)
    // Until a message of an earlier turn was read, some of the turn's own may be missing.
    if (branch.before.length === 0) return 0
    await countAhead(messagesOf(branch))
    // The total decides, as it does after the read. Sums of parts are rounded up each, and may be one token too many.
    if (tokensOf(branch, limit) > limit.budget) return 1
    const fixed = totalTokens([...branch.summaries, ...branch.own], limit.system, limit.model)
    const tokens = totalTokens(branch.before, undefined, limit.model)
    return Math.min(tokens / Math.max(limit.budget - fixed, 1), 0.99)
  })
  const branch = divide(messages, position)
  await countAhead(messagesOf(branch))
  return { ...branch, tokens: tokensOf(branch, limit) }
}

async function readWhole(position: TurnPosition, store: Store): Promise<Branch> {
  return divide(await store.readMessages(position.sessionId), position)
}

function divide(messages: readonly StoredMessage[], position: TurnPosition): Branch {
  const { replyId } = position
  const turn = turnNumber(messages, position)
  const others = messages.filter(({ role, id }) => role !== 'summary' && id !== replyId)
  const before = dropUnanswered(others.filter((message) => message.turn !== turn))
  const own = others.filter((message) => message.turn === turn)
  // Vendors refuse tool results without their calls, and calls mean nothing without the question that led to them.
  const isQuestion = (message: HistoryMessage, at: number) => beginsTurn(message, before[at - 1])
  const start = own[0]?.role === 'tool' ? before.findLastIndex(isQuestion) : before.length
  return {
    summaries: messages.filter(({ role }) => role === 'summary'),
    own: [...before.splice(Math.max(start, 0)), ...own],
    before,
  }
}

function messagesOf({ summaries, before, own }: Branch): HistoryMessage[] {
  return [...summaries, ...before, ...own]
}

function tokensOf(branch: Branch, { system, model }: Limit): number {
  return totalTokens(messagesOf(branch), system, model)
}

function whole(branch: Branch, { system }: Pick<Limit, 'system'>): FittedContext {
  return { history: messagesOf(branch), ...(system === undefined ? {} : { system }) }
}

function trimmed(branch: Branch, limit: Limit): FittedContext {
  const { summaries, before, own } = branch
  const fixed = fixedTokens(branch, limit)
  const cut = cutToFit(before, limit.budget - fixed, limit.model)
  return whole({ summaries, before: before.slice(cut), own }, limit)
}

async function wholeOrThrow(branch: Branch, limit: Limit): Promise<FittedContext> {
  await countAhead(messagesOf(branch))
  const tokens = tokensOf(branch, limit)
  // It fits after all when another process cleared the session since the first read.
  if (tokens <= limit.budget) return whole(branch, limit)
  return throwTooLong(tokens, limit.budget, 'Compact the session, or set context.onOverflow.')
}

async function compacted(
  branch: Branch,
  { sessionId }: TurnPosition,
  limit: Limit,
  { store, llm, signal }: FitContext,
): Promise<FittedContext> {
  const { budget, model } = limit
  await countAhead(messagesOf(branch))
  const { summaries, before, own } = branch
  // Half of what is left stays free: otherwise each of the next turns would need a compaction, and pay for its call.
  const cut = cutToFit(before, (budget - fixedTokens(branch, limit)) / 2, model)
  const past = [...summaries, ...before.slice(0, cut)]
  const summary = await compact(past, { store, llm, sessionId, model, budget, signal })
  // The result is trimmed, since a summary may be longer than the messages it replaces.
  return trimmed({ summaries: summary ? [summary] : summaries, before: before.slice(cut), own }, limit)
}

/** @throws ConvokeError `context_length_exceeded` when these alone are too many */
function fixedTokens({ summaries, own }: Branch, { budget, system, model }: Limit): number {
  const fixed = totalTokens([...summaries, ...own], system, model)
  if (fixed > budget) throwTooLong(fixed, budget, 'Send less, or raise context.maxTokens.')
  return fixed
}
