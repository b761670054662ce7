/** Reads the end of a branch, no further back than needed. */
import type { ReadOptions, Store, StoredMessage } from '../store/store.ts'
import { dropUnanswered } from './history.ts'

/** Messages of the first read: some twenty turns. */
const firstMessages = 50
/** The share reached so far predicts how many messages are needed. With a quarter more a third read is rare. */
const reserve = 1.25
const leastGrowth = 2
const mostGrowth = 16

/**
 * The last messages of a branch, oldest first, behind the branch's summary. Reads until `shareOf` gives 1 or more for the
 * messages read (the share of what the caller needs that they cover), or until the branch has no more.
 *
 * A read that falls short is followed by a longer one, again from the end. Pages of two reads are never joined: another
 * process may clear or compact the branch between them, and messages of two states make no valid history.
 */
export async function readTail(
  store: Store,
  sessionId: string,
  shareOf: (messages: StoredMessage[]) => number | Promise<number>,
  { includeCompacted = false }: Pick<ReadOptions, 'includeCompacted'> = {},
): Promise<StoredMessage[]> {
  for (let limit = firstMessages; ;) {
    const messages = await store.readMessages(sessionId, { limit, includeCompacted, includeSummary: true })
    const count = messages.filter(({ role }) => role !== 'summary').length
    if (count < limit) return messages
    const share = await shareOf(messages)
    if (share >= 1) return messages
    limit = Math.ceil(limit * Math.min(Math.max(reserve / share, leastGrowth), mostGrowth))
  }
}

interface RunningTurn {
  /** Its number when it began. */
  turn: number
  replyId: string
}

/**
 * The present number of a running turn. Messages that are added while it runs (by other processes, too) are put before
 * it, and raise its number. When a turn is repeated, only the new reply's number is raised: the prompt belongs to the
 * earlier attempt and keeps its number.
 */
export function turnNumber(messages: readonly StoredMessage[], { turn, replyId }: RunningTurn): number {
  const reply = messages.find(({ id }) => id === replyId)
  const isRaised = messages.some((message) => message.turn === reply?.turn && message.id !== replyId)
  return reply && isRaised ? reply.turn : turn
}

/**
 * The messages before a turn, back to the last reply at least: that reply has the tool calls that wait for results.
 * Without `running`, the messages at the end of the branch.
 */
export async function readRecent(
  store: Store,
  sessionId: string,
  running?: RunningTurn,
): Promise<StoredMessage[]> {
  const before = (messages: StoredMessage[]) => {
    const own = running && turnNumber(messages, running)
    return dropUnanswered(messages.filter(({ turn }) => turn !== own))
  }
  const hasReply = (messages: StoredMessage[]) => before(messages).some(({ role }) => role === 'assistant')
  return before(await readTail(store, sessionId, (messages) => (hasReply(messages) ? 1 : 0)))
}

/** The message before a running turn; the branch's last message when that turn is gone. */
export async function lastMessageBefore(
  store: Store,
  sessionId: string,
  replyId: string,
): Promise<StoredMessage | undefined> {
  const turnOf = (messages: StoredMessage[]) => messages.find(({ id }) => id === replyId)?.turn
  const before = (messages: StoredMessage[], running = turnOf(messages)) =>
    running === undefined ? undefined : messages.findLast(({ turn }) => turn < running)
  const shareOf = (messages: StoredMessage[]) => (before(messages) ? 1 : 0)
  const messages = await readTail(store, sessionId, shareOf, { includeCompacted: true })
  return turnOf(messages) === undefined ? messages.at(-1) : before(messages)
}
