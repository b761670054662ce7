/** What of this thread would stand still, were it to block. */
import { ConvokeError } from '../errors.ts'

let calls = 0
/** Sessions with a turn that runs here, by store and id, and how many. */
const sessions = new Map<string, number>()

/** A call begins: the function that is given back says that it is over. */
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

/**
 * @param isAllowed the caller said so; never for a session whose own turn it would wait for
 * @throws ConvokeError `blocking_unavailable`
 */
export function checkMayBlock(isAllowed: boolean, session?: string): void {
  if (session !== undefined && sessions.has(session)) {
    throw unavailable(
      'A turn of this session runs on this thread, and would never end while the thread waits for it. Await it first, or use agenerate().',
    )
  }
  if (calls === 0 || isAllowed) return
  const one =
    calls === 1
      ? 'A call of this thread is in flight, or has'
      : `${calls} calls of this thread are in flight, or have`
  throw unavailable(
    `${one} called back, and would stand still meanwhile. Use agenerate(), await what is in flight first, or pass { blocking: 'allow' }.`,
  )
}

/** @throws ConvokeError `blocking_unavailable`; `cancelled` where it has fired already */
export function refuseSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new ConvokeError('cancelled', 'The call was cancelled.', { cause: signal.reason })
  }
  if (!signal) return
  throw unavailable(
    'A signal cannot fire while this thread is blocked. Set timeouts.totalMs, or use agenerate().',
  )
}

export function unavailable(message: string, cause?: unknown): ConvokeError {
  return new ConvokeError('blocking_unavailable', message, { cause })
}
