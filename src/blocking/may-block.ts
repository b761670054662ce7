/** When a call may block this thread, and the error where it may not. */
import { ConvokeError } from '../errors.ts'
import { callsInFlight, hasTurnInFlight } from '../threads/calls-in-flight.ts'

/**
 * @param isAllowed the user passed `blocking: 'allow'`. It never covers a session that waits for its own turn: that wait
 * would have no end
 * @throws ConvokeError `blocking_unavailable`
 */
export function checkMayBlock(isAllowed: boolean, session?: string): void {
  if (session !== undefined && hasTurnInFlight(session)) {
    throw unavailable(
      'A turn of this session runs on this thread, and would never end while the thread waits for it. Await it first, or use agenerate().',
    )
  }
  const calls = callsInFlight()
  if (calls === 0 || isAllowed) return
  const subject =
    calls === 1
      ? 'A call of this thread is in flight, or has'
      : `${calls} calls of this thread are in flight, or have`
  throw unavailable(
    `${subject} called back, and would stand still meanwhile. Use agenerate(), await what is in flight first, or pass { blocking: 'allow' }.`,
  )
}

/** @throws ConvokeError `blocking_unavailable`; `cancelled` where the signal has fired already */
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
