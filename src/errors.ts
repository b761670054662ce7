/** The one error class of the library, its codes, and how vendors' statuses and typed fields become codes. */
import type { ErrorCode, GenerateResponse } from './types.ts'

export type { ErrorCode }

/** Every code, with whether a new attempt may help. */
export const codes = {
  configuration: false,
  missing_dependency: false,
  unsupported_runtime: false,
  authentication: false,
  permission: false,
  model_not_found: false,
  invalid_request: false,
  context_length_exceeded: false,
  content_filtered: false,
  rate_limited: true,
  overloaded: true,
  server_error: true,
  connection: true,
  timeout: true,
  stream_truncated: true,
  malformed_response: false,
  cancelled: false,
  queue_full: false,
  circuit_open: false,
  budget_exceeded: false,
  invalid_output: false,
  tool_failed: false,
  blocking_unavailable: false,
  session_busy: false,
  session_not_found: false,
  store_full: false,
  store_corrupt: false,
  store_locked: false,
  store_failed: false,
  worker_lost: false,
} as const satisfies Record<ErrorCode, boolean>

/** All codes. */
export const errorCodes = Object.keys(codes) as readonly ErrorCode[]

/** Which clock ran out. `server` is a vendor that gave up itself (status 408). */
export type TimeoutPhase = 'connect' | 'firstChunk' | 'idle' | 'total' | 'server'

export interface ConvokeErrorOptions {
  provider?: string
  model?: string
  /** HTTP status, where the vendor answered with one. */
  status?: number
  /** Requests sent before this error. @default 0 */
  attempts?: number
  /** How long the vendor asked to wait. */
  retryAfterMs?: number
  /** @default by code */
  isRetryable?: boolean
  /** What had arrived before the error. */
  partial?: GenerateResponse
  phase?: TimeoutPhase
  cause?: unknown
}

/**
 * Everything that convoke throws. `code` says what failed, the message on which value and what to do.
 * No key ever stands in it.
 */
export class ConvokeError extends Error {
  override readonly name = 'ConvokeError'
  readonly code: ErrorCode
  declare readonly provider?: string
  declare readonly model?: string
  declare readonly status?: number
  readonly attempts: number
  declare readonly retryAfterMs?: number
  readonly isRetryable: boolean
  declare readonly partial?: GenerateResponse
  declare readonly phase?: TimeoutPhase

  constructor(code: ErrorCode, message: string, options: ConvokeErrorOptions = {}) {
    const { cause, provider, attempts = 0, isRetryable = codes[code], ...rest } = options
    super(provider ? `[${provider}] ${message}` : message, cause === undefined ? undefined : { cause })
    this.code = code
    this.attempts = attempts
    this.isRetryable = isRetryable
    if (provider) this.provider = provider
    Object.assign(this, withoutUndefined(rest))
  }

  /** Adds what is known only later, and gives the error itself. */
  amend(
    more: Partial<Pick<ConvokeErrorOptions, 'attempts' | 'partial' | 'model' | 'isRetryable'>>,
  ): ConvokeError {
    return Object.assign(this, withoutUndefined(more))
  }
}

/** Whether a value is a ConvokeError, of this copy of the library or of another. */
export function isConvokeError(value: unknown): value is ConvokeError {
  return value instanceof Error && value.name === 'ConvokeError' && 'code' in value
}

/** The text of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Errors of calls that were ended from outside. What such a call had asked in its turn ends by the same. */
const ends = new WeakSet<ConvokeError>()

/** The reason that an owner's own clock gives to what it ends. */
export function timedOutError(message: string): ConvokeError {
  const error = new ConvokeError('timeout', message, { phase: 'total', isRetryable: false })
  ends.add(error)
  return error
}

/**
 * The error of a call that was ended from outside: `timeout` where its owner's clock did it, else `cancelled`.
 * @param reason of the signal or of `cancel()`: an error of `overdue` or of this function says it all, anything else is
 * the cause
 * @param what ended, for the message
 */
export function endedError(reason: unknown, options: ConvokeErrorOptions = {}, what = 'call'): ConvokeError {
  const error =
    isConvokeError(reason) && ends.has(reason) ? again(reason, options) : cancelled(reason, options, what)
  ends.add(error)
  return error
}

/** Under the name of who ends now. */
function again(error: ConvokeError, options: ConvokeErrorOptions): ConvokeError {
  const { code, provider, message, phase, isRetryable, cause } = error
  const label = provider ? `[${provider}] ` : ''
  const bare = message.startsWith(label) ? message.slice(label.length) : message
  return new ConvokeError(code, bare, { isRetryable, cause, ...(phase ? { phase } : {}), ...options })
}

function cancelled(reason: unknown, options: ConvokeErrorOptions, what: string): ConvokeError {
  const why = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : ''
  const message = `The ${what} was cancelled${why ? `: ${why}` : ''}.`
  return new ConvokeError('cancelled', message, { cause: reason, ...options })
}

/** Puts a provider's name on errors of `make` that know none. */
export function withProvider<T>(provider: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!isConvokeError(error) || error.provider) throw error
    const { code, message, cause, name: _name, ...fields } = error
    throw new ConvokeError(code, message, { ...fields, cause, provider })
  }
}

/** How a reply ended that such an error cut off. */
export function finishReasonOf({ code }: ConvokeError): 'cancelled' | 'error' {
  return code === 'cancelled' ? 'cancelled' : 'error'
}

/** Whether a request that ended so, before anything of a reply, never reached its vendor, or was refused by it. */
export function costsNothing({ code, status, phase }: ConvokeError): boolean {
  switch (code) {
    case 'circuit_open':
    case 'configuration':
    case 'connection':
    case 'invalid_request':
    case 'missing_dependency':
      return true
    default:
      return status !== undefined || phase === 'connect'
  }
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Partial<T>
}
