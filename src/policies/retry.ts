/** Attempts with exponential back-off and full jitter between them. The server's own wait wins over the back-off. */
import type { ConvokeError } from '../errors.ts'
import type { RetryBudget } from './retry-budget.ts'
import { sleep } from './sleep.ts'

export interface RetrySettings {
  /** Attempts in all, the first one included. */
  attempts: number
  /** The longest first back-off, in milliseconds; it doubles with each attempt. */
  minDelayMs: number
  /** The longest back-off, in milliseconds. A server that asks for more makes the error final. */
  maxDelayMs: number
}

/**
 * Calls `fn` with the number of the attempt, from 1, until it succeeds. An error is final when it is not retryable,
 * when `mayRetry` refuses, when the attempts or the budget are used up, or when the server asks for a longer wait than
 * `maxDelayMs`. Call the limiter inside of `fn`, not around `retry`: otherwise a slot is held during the waits.
 */
export async function retry<T>(
  fn: (attempt: number) => Promise<T>,
  settings: RetrySettings & {
    budget: RetryBudget
    mayRetry: (error: ConvokeError) => boolean
    onRetry: (error: ConvokeError, attempt: number) => void
  },
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await fn(attempt)
      settings.budget.refund()
      return result
    } catch (thrown) {
      const error = thrown as ConvokeError
      if (signal.aborted || !error.isRetryable || attempt >= settings.attempts || !settings.mayRetry(error)) {
        throw error
      }
      const delayMs = backoffMs(error, attempt, settings)
      if (!settings.budget.trySpend()) {
        error.message +=
          ' It was not retried: too many requests of this LLM failed lately, and its retry budget is used up.'
        throw error
      }
      await sleep(delayMs, signal)
      settings.onRetry(error, attempt + 1)
    }
  }
}

/** @throws the error itself when the server asks for a longer wait than allowed */
function backoffMs(error: ConvokeError, attempt: number, settings: RetrySettings): number {
  const { retryAfterMs } = error
  if (retryAfterMs === undefined) {
    return Math.random() * Math.min(settings.maxDelayMs, settings.minDelayMs * 2 ** (attempt - 1))
  }
  if (retryAfterMs > settings.maxDelayMs) {
    error.message += ` It was not retried: the server asks to wait ${Math.ceil(retryAfterMs / 1_000)} s, longer than maxDelayMs ${settings.maxDelayMs}.`
    throw error
  }
  // Up to 15 % are added, so that callers do not all come back at once, and 1 ms, because a timer may fire that early.
  return retryAfterMs * (1 + Math.random() * 0.15) + 1
}
