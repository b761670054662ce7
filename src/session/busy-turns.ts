/** What is known of turns that stand in the way: how long their writers were silent, and ends that could not be written. */
import type { Store, TurnAnswer, TurnEnd } from '../store/store.ts'

type Busy = Extract<TurnAnswer, { kind: 'busy' }>

/** A turn whose writer has given no sign for so long is taken to be dead. Four beats of the recorder. */
const silenceMs = 20_000
/** Turns looked at, of all sessions of a store. */
const maxSeen = 1_000

interface Known {
  seen: Map<string, { beat: number; sinceMs: number }>
  unwritten: Map<string, TurnEnd>
}

const stores = new WeakMap<Store, Known>()

function knownOf(store: Store): Known {
  let known = stores.get(store)
  if (!known) stores.set(store, (known = { seen: new Map(), unwritten: new Map() }))
  return known
}

/** The end of a reply could not be written: the next turn of its session tries again. */
export function keepEnd(store: Store, replyId: string, end: TurnEnd): void {
  knownOf(store).unwritten.set(replyId, end)
}

/**
 * Whether the turn is out of the way now: its end is written after all, or its writer has been silent for too long, by a
 * clock that never steps.
 * @throws ConvokeError that of the store
 */
export async function clearAway(store: Store, { replyId, beat }: Busy): Promise<boolean> {
  const { seen, unwritten } = knownOf(store)
  const end = unwritten.get(replyId)
  if (end) {
    await store.endTurn(replyId, end)
    unwritten.delete(replyId)
    return true
  }
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
