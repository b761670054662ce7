/** The end of a branch, read no further back than it takes. */
import type { ReadOptions, Store, StoredMessage } from '../store/store.ts'
import { answered } from './history.ts'

/** Of the first reading: some twenty turns. */
const firstMessages = 50
/** What was read foretells how much it takes; this much more, and a third reading is rare. */
const reserve = 1.25
const leastGrowth = 2
const mostGrowth = 16

/**
 * The last messages of a branch, its summary in front of them: so many that `shareOf` them is 1 or more of what is wanted,
 * or all. A reading that falls short is followed by a longer one, from the end again: another process may have cleared or
 * compacted the branch in between, and messages of two states of it are no history.
 */
export async function readTail(
  store: Store,
  sessionId: string,
  shareOf: (messages: StoredMessage[]) => number | Promise<number>,
  { includeCompacted: isWhole = false }: Pick<ReadOptions, 'includeCompacted'> = {},
): Promise<StoredMessage[]> {
  for (let limit = firstMessages; ;) {
    const messages = await store.readMessages(sessionId, {
      limit,
      includeCompacted: isWhole,
      includeSummary: true,
    })
    const count = messages.filter(({ role }) => role !== 'summary').length
    if (count < limit) return messages
    const share = await shareOf(messages)
    if (share >= 1) return messages
    limit = Math.ceil(limit * Math.min(Math.max(reserve / share, leastGrowth), mostGrowth))
  }
}

/** A turn that runs: as it was begun, and its reply. */
interface Running {
  turn: number
  replyId: string
}

/**
 * The number of a turn that runs: what is added meanwhile, by other processes too, goes before it and puts it on. Of a
 * turn that is repeated only the reply goes on; its prompt keeps its number.
 */
export function ownTurn(messages: readonly StoredMessage[], { turn, replyId }: Running): number {
  const reply = messages.find(({ id }) => id === replyId)
  const isPutOn = messages.some((message) => message.turn === reply?.turn && message.id !== replyId)
  return reply && isPutOn ? reply.turn : turn
}

/** What was said before a turn, back to the last reply at least: it has the tool calls that wait for their results. */
export async function lastSaid(store: Store, sessionId: string, running?: Running): Promise<StoredMessage[]> {
  const before = (messages: StoredMessage[]) => {
    const own = running && ownTurn(messages, running)
    return answered(messages.filter(({ turn }) => turn !== own))
  }
  const hasReply = (messages: StoredMessage[]) => before(messages).some(({ role }) => role === 'assistant')
  return before(await readTail(store, sessionId, (messages) => (hasReply(messages) ? 1 : 0)))
}

/** The message that stands before a turn that runs; the last one, where that turn is gone. */
export async function lastBefore(
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
