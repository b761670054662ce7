/** The turns of one session in this process, one after the other. Those of other processes wait in the store. */
import { unlessAborted } from '../policies/cancellation.ts'
import type { Store } from '../store/store.ts'

/** The end of the line of each session, by its store. */
const queues = new WeakMap<Store, Map<string, Promise<void>>>()

/** Whether a turn of this session runs or waits in this process. */
export function isTaken(store: Store, sessionId: string): boolean {
  return queues.get(store)?.has(sessionId) ?? false
}

/** Waits for its turn; gives a function that ends it. @throws the signal's reason, when it aborts in line */
export async function enterQueue(store: Store, sessionId: string, signal: AbortSignal): Promise<() => void> {
  let line = queues.get(store)
  if (!line) queues.set(store, (line = new Map()))
  const before = line.get(sessionId)
  let leave = () => {}
  const own = new Promise<void>((resolve) => {
    leave = resolve
  })
  const end = (before ?? Promise.resolve()).then(() => own)
  line.set(sessionId, end)
  void end.then(() => {
    if (line.get(sessionId) === end) line.delete(sessionId)
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
