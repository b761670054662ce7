/** Turns the error of a vendor into a ConvokeError: its status and its typed fields become a code. */
import { codes, ConvokeError } from '../errors.ts'
import type { ErrorCode, ConvokeErrorOptions } from '../errors.ts'

/** The fields of a vendor's error, whatever the shape of its body. */
export interface VendorErrorFields {
  status?: number
  /** The values of the vendor's typed fields: `error.type`, `error.code`, `error.status`. */
  kinds: readonly string[]
  message: string
  /** The wait that the vendor asks for. */
  retryAfterMs?: number
  /** The vendor's header `x-should-retry`. */
  shouldRetry?: boolean
}

/**
 * The code for each kind that vendors name.
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

/** Kinds so general that the status says more. Anthropic sends api_error with the status 529, for example. */
const generalKinds = new Set([
  'invalid_request_error',
  'api_error',
  'server_error',
  'INVALID_ARGUMENT',
  'FAILED_PRECONDITION',
])

/** Kinds that a later attempt does not cure, whatever their status. */
const finalKinds = new Set(['insufficient_quota', 'billing_error'])

/** The sentence that begins the message of each code. No two codes share one. */
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
 * The ConvokeError for a vendor's error, which came with a status or in an event of a stream. The kinds decide before
 * the status does, because Gemini answers a bad key with the status 400 and the reason API_KEY_INVALID.
 */
export function vendorError(fields: VendorErrorFields, options: ConvokeErrorOptions = {}): ConvokeError {
  const { status } = fields
  const known = fields.kinds.filter((kind) => Object.hasOwn(codeOfKind, kind))
  const kind = known.find((kind) => !generalKinds.has(kind)) ?? (status ? undefined : known[0])
  const code = kind ? (codeOfKind[kind] as ErrorCode) : status ? codeOfStatus(status) : 'server_error'
  const isRetryable = fields.kinds.some((kind) => finalKinds.has(kind))
    ? false
    : (fields.shouldRetry ?? (status ? retryableStatuses.has(status) : codes[code]))
  const detail = fields.message.trim() || 'no message'
  const where = status ? ` (status ${status})` : ''
  return new ConvokeError(code, `${sentences[code] ?? 'The vendor reported an error'}${where}: ${detail}`, {
    ...options,
    isRetryable,
    ...(status ? { status } : {}),
    ...(fields.retryAfterMs === undefined ? {} : { retryAfterMs: fields.retryAfterMs }),
    ...(code === 'timeout' ? { phase: 'server' as const } : {}),
  })
}
