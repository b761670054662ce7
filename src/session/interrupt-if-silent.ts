/** Ends running turns whose writer has stopped giving signs of life. */
import type { Store, TurnAnswer } from '../store/store.ts'

type BusyTurn = Extract<TurnAnswer, { kind: 'busy' }>

/** A writer that gives no sign of life for this long is taken for dead. It is four beats of the recorder. */
const silenceMs = 20_000
/** Most turns remembered per store, over all its sessions. Past that the memory starts afresh. */
const maxRemembered = 1_000

interface LastBeat {
  beat: number
  /** When this beat was first seen, by `performance.now()`, which never steps back. */
  sinceMs: number
}

const lastBeats = new WeakMap<Store, Map<string, LastBeat>>()

/**
 * Interrupts the running turn when its beat has not changed for 20 s. Call it each time that the store answers `busy`.
 * @returns true when the turn was interrupted and a new one may begin
 * @throws ConvokeError the store's error
 */
export async function interruptIfSilent(store: Store, { replyId, beat }: BusyTurn): Promise<boolean> {
  let remembered = lastBeats.get(store)
  if (!remembered) lastBeats.set(store, (remembered = new Map()))
  const last = remembered.get(replyId)
  if (last?.beat !== beat) {
    if (remembered.size >= maxRemembered) remembered.clear()
    remembered.set(replyId, { beat, sinceMs: performance.now() })
    return false
  }
  if (performance.now() - last.sinceMs < silenceMs) return false
  remembered.delete(replyId)
  await store.interruptTurn(replyId, beat)
  return true
}
