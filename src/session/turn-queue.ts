/** A queue for the turns of each session in this process. Turns of other processes wait in the store instead. */
import { unlessAborted } from '../policies/cancellation.ts'
import type { Store } from '../store/store.ts'

/** For each session, a promise that settles when the last turn in its queue has ended. */
const queues = new WeakMap<Store, Map<string, Promise<void>>>()

/** Whether a turn of this session runs or waits in this process. */
export function hasTurn(store: Store, sessionId: string): boolean {
  return queues.get(store)?.has(sessionId) ?? false
}

/**
 * Waits until all earlier turns of the session have ended. Call the returned function to end this turn.
 * @throws the signal's reason, when it aborts while the turn waits
 */
export async function enterQueue(store: Store, sessionId: string, signal: AbortSignal): Promise<() => void> {
  let ends = queues.get(store)
  if (!ends) queues.set(store, (ends = new Map()))
  const before = ends.get(sessionId)
  let leave = () => {}
  const own = new Promise<void>((resolve) => {
    leave = resolve
  })
  const end = (before ?? Promise.resolve()).then(() => own)
  ends.set(sessionId, end)
  void end.then(() => {
    if (ends.get(sessionId) === end) ends.delete(sessionId)
  })
  if (!before) return leave
  try {
    await unlessAborted(signal, before)
    return leave
  } catch (error) {
    leave()
    throw error
  }
}
