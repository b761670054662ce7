/**
 * Ends of replies that their store could not write: its disk was full for a while, its file locked or away. They are
 * tried again by the next turn of their session, and once as the session or the store is closed.
 */
import { isConvokeError } from '../errors.ts'
import type { Store, TurnEnd } from './store.ts'

interface UnwrittenEnd {
  sessionId: string
  replyId: string
  end: TurnEnd
}

/** Of a store; the oldest goes first. Of one that goes on failing no turn begins, so that there are few. */
const maxKept = 1_000

const stores = new WeakMap<Store, Map<string, UnwrittenEnd>>()

export function keepUnwritten(store: Store, unwritten: UnwrittenEnd): void {
  let ends = stores.get(store)
  if (!ends) stores.set(store, (ends = new Map()))
  for (const oldest of ends.keys()) if (ends.size >= maxKept) ends.delete(oldest)
  ends.set(unwritten.replyId, unwritten)
}

/**
 * Tries each once more, those of one session or of all. A reply that others have settled takes its end or needs none; one
 * that is gone with its session is forgotten.
 * @throws ConvokeError that of the store, when one could still not be written
 */
export async function writeUnwritten(store: Store, sessionId?: string): Promise<void> {
  const ends = [...(stores.get(store)?.values() ?? [])].filter(
    (unwritten) => sessionId === undefined || unwritten.sessionId === sessionId,
  )
  if (ends.length === 0) return
  // All are handed over at once: a store that is being closed takes nothing later, and they share one commit.
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
  stores.get(store)?.delete(replyId)
}
