/** The one error class of the library, and which of its codes are worth a new attempt. */
import type { ErrorCode, GenerateResponse } from './types.ts'

export type { ErrorCode }

/** Every code. The value says whether a new attempt may help, and is the default of `isRetryable`. */
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

/** Every code, in the order of `ErrorCode`. */
export const errorCodes = Object.keys(codes) as readonly ErrorCode[]

/**
 * The clock that ran out, named after its option in `timeouts`. `server` is no clock of ours: the vendor itself gave up
 * on the request (status 408).
 */
export type TimeoutPhase = 'connect' | 'firstChunk' | 'idle' | 'total' | 'server'

/** The facts of an error besides its code and its message. Each is optional. */
export interface ConvokeErrorOptions {
  /** The provider's name, which also stands in front of the message: `[openai] …`. */
  provider?: string
  /** The model that was asked. Absent when the error came before a model was chosen. */
  model?: string
  /** The vendor's HTTP status. Absent when the error did not come from an HTTP answer. */
  status?: number
  /** Requests that were sent before this error, retries included. @default 0 */
  attempts?: number
  /** Milliseconds to wait before a new attempt. Absent when no such time is known. */
  retryAfterMs?: number
  /** Whether a new attempt may help. @default by code: see `codes` */
  isRetryable?: boolean
  /** The part of the response that had arrived before the error. Absent on errors that belong to no response. */
  partial?: GenerateResponse
  /** The clock that ran out. Only on `timeout`. */
  phase?: TimeoutPhase
  /** The error underneath: an SDK's, the network's, or a signal's reason. */
  cause?: unknown
}

/**
 * The error that convoke throws. `code` names the kind of failure, the same on every vendor; `message` says what
 * failed, on which value, and the remedy. API keys are redacted from messages.
 */
export class ConvokeError extends Error {
  /** Always `ConvokeError`; `isConvokeError` knows an error of another copy of the library by it. */
  override readonly name = 'ConvokeError'
  /** The kind of failure; docs/reference/error-codes.md has the cause and the remedy of each. */
  readonly code: ErrorCode
  /** The provider that failed. Absent on errors that concern no single provider. */
  declare readonly provider?: string
  /** The model that was asked. Absent when the error came before a model was chosen. */
  declare readonly model?: string
  /** The vendor's HTTP status. Absent when the error did not come from an HTTP answer. */
  declare readonly status?: number
  /** Requests that were sent before this error, retries included; 0 when none was. */
  readonly attempts: number
  /** Milliseconds to wait before a new attempt. Absent when no such time is known. */
  declare readonly retryAfterMs?: number
  /** Whether a new attempt may help. */
  readonly isRetryable: boolean
  /** The part of the response that had arrived before the error, and the usage so far. Absent outside of calls. */
  declare readonly partial?: GenerateResponse
  /** The clock that ran out. Only on `timeout`. */
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

  /** Adds facts that are known only after the error was made, in place; returns the error itself. */
  amend(
    facts: Partial<Pick<ConvokeErrorOptions, 'attempts' | 'partial' | 'model' | 'isRetryable'>>,
  ): ConvokeError {
    return Object.assign(this, withoutUndefined(facts))
  }
}

/**
 * Whether a value is a ConvokeError. It goes by the name instead of `instanceof`, so that errors of a second copy of
 * the library in the same process count too.
 */
export function isConvokeError(value: unknown): value is ConvokeError {
  return value instanceof Error && value.name === 'ConvokeError' && 'code' in value
}

/** The message of an error, or the text of any other value that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Errors that already describe an abort. Nested calls inherit the error that they find here instead of wrapping it. */
const abortErrors = new WeakSet<ConvokeError>()

/**
 * The abort reason of a clock that limits a whole operation (`totalMs`, a fan-out's `timeoutMs`). `abortedError` passes
 * it on to every call that the operation had begun, so that all of them end with `timeout` and not with `cancelled`.
 */
export function totalTimeoutError(message: string): ConvokeError {
  const error = new ConvokeError('timeout', message, { phase: 'total', isRetryable: false })
  abortErrors.add(error)
  return error
}

/**
 * The error of work that was aborted from outside: `timeout` when the reason is an error of `totalTimeoutError`, else
 * `cancelled`.
 * @param reason the signal's reason, or the argument of `cancel()`. An error of this function or of `totalTimeoutError`
 * is inherited; any other value becomes the cause.
 * @param options facts of the work that ends, such as its provider
 * @param subject the work that ends, named in the message
 */
export function abortedError(
  reason: unknown,
  options: ConvokeErrorOptions = {},
  subject = 'call',
): ConvokeError {
  const isInherited = isConvokeError(reason) && abortErrors.has(reason)
  const error = isInherited ? relabelled(reason, options) : cancelledError(reason, options, subject)
  abortErrors.add(error)
  return error
}

/** A copy of an inherited error that names the provider of the work that ends now. */
function relabelled(error: ConvokeError, options: ConvokeErrorOptions): ConvokeError {
  const { code, provider, message, phase, isRetryable, cause } = error
  const label = provider ? `[${provider}] ` : ''
  const unlabelled = message.startsWith(label) ? message.slice(label.length) : message
  return new ConvokeError(code, unlabelled, { isRetryable, cause, ...(phase ? { phase } : {}), ...options })
}

function cancelledError(reason: unknown, options: ConvokeErrorOptions, subject: string): ConvokeError {
  const why = reason instanceof Error ? reason.message : typeof reason === 'string' ? reason : ''
  const message = `The ${subject} was cancelled${why ? `: ${why}` : ''}.`
  return new ConvokeError('cancelled', message, { cause: reason, ...options })
}

/** Runs `make`, and gives the provider's name to a ConvokeError that it throws without one. */
export function withProvider<T>(provider: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!isConvokeError(error) || error.provider) throw error
    const { code, message, cause, name: _name, ...fields } = error
    throw new ConvokeError(code, message, { ...fields, cause, provider })
  }
}

/** The finish reason of a response that this error cut short. */
export function finishReasonOfError({ code }: ConvokeError): 'cancelled' | 'error' {
  return code === 'cancelled' ? 'cancelled' : 'error'
}

/**
 * Whether a request that failed with this error, before any content arrived, is surely free of charge: it never reached
 * the vendor, or the vendor refused it. After any other error the vendor may have read the prompt, and may bill it.
 */
export function isFreeOfCharge({ code, status, phase }: ConvokeError): boolean {
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
