/** Counts the calls that run on this thread's event loop: they would stop if the thread blocked. */

let calls = 0
/** Sessions with a turn that runs here, by store and id, and the number of those turns. */
const sessions = new Map<string, number>()

/** Counts a call until the returned function is called. */
export function beginCall(session?: string): () => void {
  calls++
  if (session !== undefined) sessions.set(session, (sessions.get(session) ?? 0) + 1)
  let isOver = false
  return () => {
    if (isOver) return
    isOver = true
    calls--
    if (session === undefined) return
    const left = (sessions.get(session) ?? 1) - 1
    if (left === 0) sessions.delete(session)
    else sessions.set(session, left)
  }
}

export function callsInFlight(): number {
  return calls
}

/** Whether a turn of this session runs on this thread. */
export function hasTurnInFlight(session: string): boolean {
  return sessions.has(session)
}
