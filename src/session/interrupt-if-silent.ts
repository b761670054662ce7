/** What is known of turns that stand in the way: how long their writers were silent. */
import type { Store, TurnAnswer } from '../store/store.ts'

type BusySession = Extract<TurnAnswer, { kind: 'busy' }>

/** A turn whose writer has given no sign for so long is taken to be dead. Four beats of the recorder. */
const silenceMs = 20_000
/** Turns looked at, of all sessions of a store. */
const maxSeen = 1_000

const stores = new WeakMap<Store, Map<string, { beat: number; sinceMs: number }>>()

/**
 * Whether the turn is out of the way now: its writer has been silent for too long, by a clock that never steps.
 * @throws ConvokeError that of the store
 */
export async function clearAway(store: Store, { replyId, beat }: BusySession): Promise<boolean> {
  let seen = stores.get(store)
  if (!seen) stores.set(store, (seen = new Map()))
  const last = seen.get(replyId)
  if (last?.beat !== beat) {
    if (seen.size >= maxSeen) seen.clear()
    seen.set(replyId, { beat, sinceMs: performance.now() })
    return false
  }
  if (performance.now() - last.sinceMs < silenceMs) return false
  seen.delete(replyId)
  await store.interruptTurn(replyId, beat)
  return true
}
