/**
 * Ends of replies that their store could not write: its disk was full for a while, its file locked or away. They are
 * tried again by the next turn of their session, and once as the session or the store is closed.
 */
import { isConvokeError } from '../errors.ts'
import type { Store, TurnEnd } from './store.ts'

interface KeptEnd {
  sessionId: string
  replyId: string
  end: TurnEnd
}

/** Of a store; the oldest goes first. Of one that goes on failing no turn begins, so that there are few. */
const maxKept = 1_000

const stores = new WeakMap<Store, Map<string, KeptEnd>>()

export function keepEnd(store: Store, kept: KeptEnd): void {
  let ends = stores.get(store)
  if (!ends) stores.set(store, (ends = new Map()))
  for (const oldest of ends.keys()) if (ends.size >= maxKept) ends.delete(oldest)
  ends.set(kept.replyId, kept)
}

/**
 * Tries each once more, those of one session or of all. A reply that others have settled takes its end or needs none; one
 * that is gone with its session is forgotten.
 * @throws ConvokeError that of the store, when one could still not be written
 */
export async function writeEnds(store: Store, sessionId?: string): Promise<void> {
  const ends = [...(stores.get(store)?.values() ?? [])].filter(
    (kept) => sessionId === undefined || kept.sessionId === sessionId,
  )
  if (ends.length === 0) return
  // All are handed over at once: a store that is being closed takes nothing later, and they share one commit.
  const settled = await Promise.allSettled(ends.map((kept) => writeEnd(store, kept)))
  const failed = settled.find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw failed.reason
}

async function writeEnd(store: Store, { replyId, end }: KeptEnd): Promise<void> {
  try {
    await store.endTurn(replyId, end)
  } catch (error) {
    if (!isConvokeError(error) || error.code !== 'session_not_found') throw error
  }
  stores.get(store)?.delete(replyId)
}
