/** Whether a call may block this thread, and the error where it may not. */
import { ConvokeError } from '../errors.ts'
import { callsInFlight, hasTurnInFlight } from '../threads/calls-in-flight.ts'

/**
 * Refuses a call that would stop other work of this thread.
 * @param isAllowed whether the user passed `blocking: 'allow'`. It does not cover a session that would wait for its own
 * turn, since that wait would have no end
 * @param session the key of the session whose turn blocks
 * @throws ConvokeError `blocking_unavailable`
 */
export function checkMayBlock(isAllowed: boolean, session?: string): void {
  if (session !== undefined && hasTurnInFlight(session)) {
    throw unavailable(
      'A turn of this session runs on this thread, and cannot end while the thread waits for it. Await that turn first, or use agenerate().',
    )
  }
  const calls = callsInFlight()
  if (calls === 0 || isAllowed) return
  const subject =
    calls === 1
      ? 'A call of this thread is in flight, or runs a callback'
      : `${calls} calls of this thread are in flight, or run callbacks`
  throw unavailable(
    `${subject}, and would stop while the thread is blocked. Use agenerate(), await what is in flight first, or pass { blocking: 'allow' }.`,
  )
}

/** @throws ConvokeError `blocking_unavailable` for any signal; `cancelled` for one that has fired already */
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
