/** Attempts with back-off between them: full jitter, the server's own wait above it, a budget around it. */
import type { ConvokeError } from '../errors.ts'
import type { RetryBudget } from './retry-budget.ts'
import { sleep } from './sleep.ts'

export interface RetrySettings {
  /** Attempts in all. */
  attempts: number
  minDelayMs: number
  maxDelayMs: number
}

/**
 * Calls `fn` with the number of the attempt until it succeeds. An error is final when it is not retryable, when
 * `mayRetry` says so, when the attempts or the budget are spent, or when the server asks for more than `maxDelayMs`.
 * Every error tells how many attempts were made. No slot is held while it sleeps: wrap the limiter, not the reverse.
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
      if (!settings.budget.take()) {
        error.message += ' It was not tried again: the retry budget of this LLM is spent.'
        throw error
      }
      await sleep(delayMs, signal)
      settings.onRetry(error, attempt + 1)
    }
  }
}

/** @throws the error itself when the server asks for a longer wait than allowed */
function backoffMs(error: ConvokeError, attempt: number, settings: RetrySettings): number {
  const asked = error.retryAfterMs
  if (asked === undefined) {
    return Math.random() * Math.min(settings.maxDelayMs, settings.minDelayMs * 2 ** (attempt - 1))
  }
  if (asked > settings.maxDelayMs) {
    error.message += ` It asks to wait ${Math.ceil(asked / 1_000)} s, longer than maxDelayMs ${settings.maxDelayMs}.`
    throw error
  }
  // Never early (a timer may ring a millisecond before its time), and spread, lest all callers come back at once.
  return asked * (1 + Math.random() * 0.15) + 1
}
