/** The turns of one session in this process, one after the other. Those of other processes wait in the store. */
import type { Store } from '../store/store.ts'

/** The end of the line of each session, by its store. */
const lines = new WeakMap<Store, Map<string, Promise<void>>>()

/** Whether a turn of this session runs or waits in this process. */
export function isTaken(store: Store, sessionId: string): boolean {
  return lines.get(store)?.has(sessionId) ?? false
}

/** Waits for its turn; gives a function that ends it. @throws the signal's reason, when it aborts in line */
export async function enter(store: Store, sessionId: string, signal: AbortSignal): Promise<() => void> {
  let line = lines.get(store)
  if (!line) lines.set(store, (line = new Map()))
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
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
  try {
    await Promise.race([before, aborted])
    return leave
  } catch (error) {
    leave()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
