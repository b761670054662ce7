/**
 * Ends of replies that the store could not write, because its disk was full or its file locked or missing for a while.
 * The next turn of their session tries again, and so do the session and the store when they are closed.
 */
import { isConvokeError } from '../errors.ts'
import type { Store, TurnEnd } from './store.ts'

interface UnwrittenEnd {
  sessionId: string
  replyId: string
  end: TurnEnd
}

/** Most ends kept per store; past that the oldest is dropped. A failing store starts no turns, so the list stays small. */
const maxKept = 1_000

const endsByStore = new WeakMap<Store, Map<string, UnwrittenEnd>>()

/** Keeps the end of a reply, to be written later. */
export function keepUnwritten(store: Store, unwritten: UnwrittenEnd): void {
  let ends = endsByStore.get(store)
  if (!ends) endsByStore.set(store, (ends = new Map()))
  for (const oldest of ends.keys()) if (ends.size >= maxKept) ends.delete(oldest)
  ends.set(unwritten.replyId, unwritten)
}

/**
 * Writes the ends that are kept, of one session or of all. A reply that was marked as interrupted meanwhile gets its end,
 * and the end of a reply whose session was deleted is dropped.
 * @throws ConvokeError the store's error, when an end could again not be written; it stays kept
 */
export async function writeUnwritten(store: Store, sessionId?: string): Promise<void> {
  const ends = [...(endsByStore.get(store)?.values() ?? [])].filter(
    (unwritten) => sessionId === undefined || unwritten.sessionId === sessionId,
  )
  if (ends.length === 0) return
  // All are handed over at once: a store that is being closed accepts nothing later, and one commit serves them all.
  const settled = await Promise.allSettled(ends.map((unwritten) => writeOne(store, unwritten)))
  const failed = settled.find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}

async function writeOne(store: Store, { replyId, end }: UnwrittenEnd): Promise<void> {
  try {
    await store.endTurn(replyId, end)
  } catch (error) {
    if (!isConvokeError(error) || error.code !== 'session_not_found') throw error
  }
  endsByStore.get(store)?.delete(replyId)
}
