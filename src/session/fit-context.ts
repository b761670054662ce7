/** What a turn sends: its own messages, and of those before them as much as fits the window. */
import type { LLM } from '../llm/llm.ts'
import { contextWindow } from '../usage/cost.ts'
import type { Store, StoredMessage } from '../store/store.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { compact } from './compaction.ts'
import { answered } from './history.ts'
import type { HistoryMessage } from './history.ts'
import { ownTurn, readTail } from './read-tail.ts'
import { beginsTurn, budgetOf, countAhead, cutToFit, tooLong, totalTokens } from './context-window.ts'
import type { ContextOptions } from './context-window.ts'

/** A turn on its branch. */
export interface TurnPosition {
  sessionId: string
  /** As it was begun: messages that are added meanwhile put it behind them. */
  turn: number
  /** Of its reply, which is there and empty. */
  replyId: string
}

export interface FitContext {
  store: Store
  llm: LLM
  context: ContextOptions
  /** The session's system prompt. */
  system: string | undefined
  /** Of the call. */
  options: GenerateOptions
  signal: AbortSignal
}

/** What is sent, oldest first, and the system prompt. */
export interface Fitted {
  history: HistoryMessage[]
  system?: string
}

/** What is left of a window, and for whom. */
interface Room {
  budget: number
  system: string | undefined
  model: string | undefined
}

/** A branch as a turn sees it. */
interface Branch {
  summaries: HistoryMessage[]
  /** What was said before the turn. */
  before: HistoryMessage[]
  /** Its own messages; where those are results of tools, from the question on that led to the calls. */
  own: HistoryMessage[]
}

/**
 * Where the window is known the branch is read from its end, until that is full.
 * @throws ConvokeError `context_length_exceeded`; with `compact` that of the summary's call
 */
export async function fit(place: TurnPosition, context: FitContext): Promise<Fitted> {
  const { store, context: wish } = context
  const room = await roomOf(context)
  const branch = await readBranch(place, store, room)
  if (branch.tokens <= room.budget) return sent(room, branch.summaries, branch.before, branch.own)
  switch (wish.onOverflow) {
    case 'error':
      return refuse(await readWhole(place, store), room)
    case 'compact':
      return compacted(await readWhole(place, store), place, room, context)
    default:
      return trimmed(branch, room)
  }
}

/** Tokens that an LLM's window leaves for what is sent: the smallest window of those that may answer. */
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

async function roomOf({ llm, context, system, options }: FitContext): Promise<Room> {
  return {
    budget: await windowBudget(llm, context, options),
    system: options.system ?? system ?? llm.defaults.system,
    model: options.model ?? llm.model,
  }
}

async function readBranch(
  place: TurnPosition,
  store: Store,
  room: Room,
): Promise<Branch & { tokens: number }> {
  // Not counted for nothing: a long history takes its time.
  if (room.budget === Infinity) return { ...(await readWhole(place, store)), tokens: 0 }
  const messages = await readTail(store, place.sessionId, async (read) => {
    const branch = branchOf(read, place)
    // As long as nothing of another turn is there, some of its own may be missing.
    if (branch.before.length === 0) return 0
    await countAhead(saidIn(branch))
    // Asked of the whole, as behind the reading: parts are rounded up, and what seems full by one token is not.
    if (tokensOf(branch, room) > room.budget) return 1
    const fixed = totalTokens([...branch.summaries, ...branch.own], room.system, room.model)
    const tokens = totalTokens(branch.before, undefined, room.model)
    return Math.min(tokens / Math.max(room.budget - fixed, 1), 0.99)
  })
  const branch = branchOf(messages, place)
  await countAhead(saidIn(branch))
  return { ...branch, tokens: tokensOf(branch, room) }
}

async function readWhole(place: TurnPosition, store: Store): Promise<Branch> {
  return branchOf(await store.readMessages(place.sessionId), place)
}

function branchOf(messages: readonly StoredMessage[], place: TurnPosition): Branch {
  const { replyId } = place
  const turn = ownTurn(messages, place)
  const said = messages.filter(({ role, id }) => role !== 'summary' && id !== replyId)
  const before = answered(said.filter((message) => message.turn !== turn))
  const own = said.filter((message) => message.turn === turn)
  // Results of tools are nothing without their calls, nor are those without what the user had asked.
  const isAsked = (message: HistoryMessage, at: number) => beginsTurn(message, before[at - 1])
  const start = own[0]?.role === 'tool' ? before.findLastIndex(isAsked) : before.length
  return {
    summaries: messages.filter(({ role }) => role === 'summary'),
    own: [...before.splice(Math.max(start, 0)), ...own],
    before,
  }
}

function saidIn({ summaries, before, own }: Branch): HistoryMessage[] {
  return [...summaries, ...before, ...own]
}

function tokensOf(branch: Branch, { system, model }: Room): number {
  return totalTokens(saidIn(branch), system, model)
}

function trimmed({ summaries, before, own }: Branch, { budget, ...room }: Room): Fitted {
  const fixed = totalTokens([...summaries, ...own], room.system, room.model)
  if (fixed > budget) tooLong(fixed, budget, 'Send less, or raise context.maxTokens.')
  return sent(room, summaries, before.slice(cutToFit(before, budget - fixed, room.model)), own)
}

async function refuse(branch: Branch, room: Room): Promise<Fitted> {
  await countAhead(saidIn(branch))
  const tokens = tokensOf(branch, room)
  // It was longer a moment ago: another process has cleared it.
  if (tokens <= room.budget) return sent(room, branch.summaries, branch.before, branch.own)
  return tooLong(tokens, room.budget, 'Compact the session, or set context.onOverflow.')
}

async function compacted(
  branch: Branch,
  place: TurnPosition,
  room: Room,
  context: FitContext,
): Promise<Fitted> {
  const { budget, system, model } = room
  await countAhead(saidIn(branch))
  const { summaries, before, own } = branch
  const fixed = totalTokens([...summaries, ...own], system, model)
  if (fixed > budget) tooLong(fixed, budget, 'Send less, or raise context.maxTokens.')
  // Half of what is left: a compaction for every turn would cost more than it saves.
  const cut = cutToFit(before, (budget - fixed) / 2, model)
  const { store, llm, signal } = context
  const past = [...summaries, ...before.slice(0, cut)]
  const summary = await compact(past, { store, llm, sessionId: place.sessionId, model, budget, signal })
  // A summary may be longer than what it stands for.
  return trimmed({ summaries: summary ? [summary] : summaries, before: before.slice(cut), own }, room)
}

function sent({ system }: Pick<Room, 'system'>, ...messages: HistoryMessage[][]): Fitted {
  return { history: messages.flat(), ...(system === undefined ? {} : { system }) }
}
