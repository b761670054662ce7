/** The parts that Anthropic's endpoints share: keys, error bodies, the list of models. */
import { estimateTokens } from './prepare-reply.ts'
import { bearerToken } from './wire-format.ts'
import type { Problem, Vendor } from './wire-format.ts'

// https://docs.anthropic.com/en/api/errors
const ERRORS: Record<number, [type: string, message: string]> = {
  400: ['invalid_request_error', 'There was an issue with the format or content of your request.'],
  401: ['authentication_error', 'invalid x-api-key'],
  402: ['billing_error', 'Your credit balance is too low to access the Anthropic API.'],
  403: ['permission_error', 'Your API key does not have permission to use the specified resource.'],
  404: ['not_found_error', 'Not found'],
  413: ['request_too_large', 'Request exceeds the maximum size'],
  429: ['rate_limit_error', 'This request would exceed your rate limit. Please try again later.'],
  500: ['api_error', 'Internal server error'],
  504: ['timeout_error', 'The request timed out'],
  529: ['overloaded_error', 'Overloaded'],
}

/** The `error` object of an error body or an error event. */
export function anthropicError(problem: Problem): Record<string, unknown> {
  const [type, message] = ERRORS[problem.status] ?? [
    problem.status >= 500 ? 'api_error' : 'invalid_request_error',
    `The request failed with status ${problem.status}.`,
  ]
  const unknownModel = problem.kind === 'model-not-found' ? `model: ${problem.model ?? ''}` : undefined
  return { type, message: problem.message ?? unknownModel ?? message }
}

export const anthropic: Vendor = {
  name: 'anthropic',
  defaultModels: ['claude-opus-4-5', 'claude-sonnet-4-5', 'claude-haiku-4-5'],
  overloadedStatus: 529,
  key: (headers) => headers['x-api-key'] ?? bearerToken(headers),
  headers: (requestId) => ({ 'request-id': requestId }),
  error: (problem, requestId) => ({
    type: 'error',
    error: anthropicError(problem),
    request_id: requestId,
  }),
  list: (models) => ({
    data: models.map(modelObject),
    has_more: false,
    first_id: models[0] ?? null,
    last_id: models.at(-1) ?? null,
  }),
  model: modelObject,
  // https://docs.anthropic.com/en/api/messages-count-tokens
  count: (text) => ({ input_tokens: estimateTokens(text.length) }),
}

function modelObject(id: string): Record<string, unknown> {
  return { type: 'model', id, display_name: id, created_at: '2025-10-01T00:00:00Z' }
}
