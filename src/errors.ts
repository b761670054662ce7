/** The one error class of the library, its codes, and how vendors' statuses and typed fields become codes. */
import type { GenerateResponse } from './types.ts'

/** Every code, with whether a new attempt may help. */
const codes = {
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
} as const satisfies Record<string, boolean>

/** What went wrong, the same word for the same cause on every vendor. */
export type ErrorCode = keyof typeof codes
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

/** Errors of calls that were ended from outside. What such a call had asked in its turn ends by the same. */
const ends = new WeakSet<ConvokeError>()

/** The reason that an owner's own clock gives to what it ends. */
export function overdue(message: string): ConvokeError {
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
export function endedBy(reason: unknown, options: ConvokeErrorOptions = {}, what = 'call'): ConvokeError {
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
export function labelled<T>(provider: string, make: () => T): T {
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

/** What a vendor's error body says of itself, whatever its shape. */
export interface VendorFault {
  status?: number
  /** The vendor's typed fields: `error.type`, `error.code`, `error.status`. */
  kinds: readonly string[]
  message: string
  retryAfterMs?: number
  shouldRetry?: boolean
}

/**
 * The vendors' typed words for causes.
 * Sources: OpenAI "Error codes", Anthropic "Errors", Google `google.rpc.Code`, Cohere "Errors".
 */
const codeOfKind: Readonly<Record<string, ErrorCode>> = {
  context_length_exceeded: 'context_length_exceeded',
  string_above_max_length: 'context_length_exceeded',
  model_not_found: 'model_not_found',
  not_found_error: 'model_not_found',
  NOT_FOUND: 'model_not_found',
  content_filter: 'content_filtered',
  content_policy_violation: 'content_filtered',
  image_content_policy_violation: 'content_filtered',
  bio_policy: 'content_filtered',
  misalignment_policy_violation: 'content_filtered',
  invalid_api_key: 'authentication',
  authentication_error: 'authentication',
  API_KEY_INVALID: 'authentication',
  UNAUTHENTICATED: 'authentication',
  permission_error: 'permission',
  billing_error: 'permission',
  insufficient_quota: 'rate_limited',
  PERMISSION_DENIED: 'permission',
  rate_limit_error: 'rate_limited',
  rate_limit_exceeded: 'rate_limited',
  RESOURCE_EXHAUSTED: 'rate_limited',
  overloaded_error: 'overloaded',
  UNAVAILABLE: 'overloaded',
  api_error: 'server_error',
  server_error: 'server_error',
  timeout_error: 'server_error',
  INTERNAL: 'server_error',
  DEADLINE_EXCEEDED: 'server_error',
  CANCELLED: 'server_error',
  request_too_large: 'invalid_request',
  invalid_prompt: 'invalid_request',
  data_residency_mismatch: 'invalid_request',
  invalid_image: 'invalid_request',
  invalid_image_format: 'invalid_request',
  invalid_base64_image: 'invalid_request',
  invalid_image_url: 'invalid_request',
  invalid_image_mode: 'invalid_request',
  image_too_large: 'invalid_request',
  image_too_small: 'invalid_request',
  image_parse_error: 'invalid_request',
  image_file_too_large: 'invalid_request',
  image_file_not_found: 'invalid_request',
  empty_image_file: 'invalid_request',
  failed_to_download_image: 'invalid_request',
  unsupported_image_media_type: 'invalid_request',
  invalid_request_error: 'invalid_request',
  INVALID_ARGUMENT: 'invalid_request',
  FAILED_PRECONDITION: 'invalid_request',
}

function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 401:
    case 498:
      return 'authentication'
    case 402:
    case 403:
      return 'permission'
    case 404:
      return 'model_not_found'
    case 408:
      return 'timeout'
    case 429:
      return 'rate_limited'
    case 503:
    case 529:
      return 'overloaded'
    default:
      return status >= 500 || status === 409 || status === 499 ? 'server_error' : 'invalid_request'
  }
}

/** Statuses after which the same request may succeed. */
const retryableStatuses = new Set([408, 409, 429, 499, 500, 502, 503, 504, 529])
/** Words so general that a status says more: Anthropic's api_error also stands under 529. */
const generalKinds = new Set([
  'invalid_request_error',
  'api_error',
  'server_error',
  'INVALID_ARGUMENT',
  'FAILED_PRECONDITION',
])
/** Typed words that no waiting cures, whatever their status. */
const finalKinds = new Set(['insufficient_quota', 'billing_error'])

/** Words for the reader; each code has its own sentence. */
const sentences: Partial<Record<ErrorCode, string>> = {
  authentication: 'The vendor refused the API key',
  permission: 'The API key may not do this',
  model_not_found: 'The vendor knows no such model',
  invalid_request: 'The vendor refused the request',
  context_length_exceeded: 'The prompt is longer than the model takes',
  content_filtered: 'The vendor filtered the content',
  rate_limited: 'The vendor limits the rate of requests',
  overloaded: 'The vendor is overloaded',
  server_error: 'The vendor failed',
  timeout: 'The vendor gave up waiting for the request',
}

/**
 * A vendor's error, from a status or from an event inside a stream, as a ConvokeError. The kinds decide before the
 * status does: Gemini answers a bad key with 400 and the reason API_KEY_INVALID.
 */
export function vendorError(fault: VendorFault, options: ConvokeErrorOptions = {}): ConvokeError {
  const { status } = fault
  const known = fault.kinds.filter((word) => Object.hasOwn(codeOfKind, word))
  const kind = known.find((word) => !generalKinds.has(word)) ?? (status ? undefined : known[0])
  const code = kind ? (codeOfKind[kind] as ErrorCode) : status ? codeOfStatus(status) : 'server_error'
  const isRetryable = fault.kinds.some((word) => finalKinds.has(word))
    ? false
    : (fault.shouldRetry ?? (status ? retryableStatuses.has(status) : codes[code]))
  const detail = fault.message.trim() || 'no message'
  const where = status ? ` (status ${status})` : ''
  return new ConvokeError(code, `${sentences[code] ?? 'The vendor reported an error'}${where}: ${detail}`, {
    ...options,
    isRetryable,
    ...(status ? { status } : {}),
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }),
    ...(code === 'timeout' ? { phase: 'server' as const } : {}),
  })
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Partial<T>
}
