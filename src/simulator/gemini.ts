/** The parts that Gemini's endpoints share: keys, error bodies, the list of models. */
import { estimateTokens } from './prepare-reply.ts'
import type { Problem, Vendor } from './wire-format.ts'

// https://ai.google.dev/gemini-api/docs/troubleshooting and google.rpc.Code
const ERRORS: Record<number, [status: string, message: string]> = {
  400: ['INVALID_ARGUMENT', 'Request contains an invalid argument.'],
  401: [
    'UNAUTHENTICATED',
    'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other ' +
      'valid authentication credential.',
  ],
  403: ['PERMISSION_DENIED', 'The caller does not have permission.'],
  404: ['NOT_FOUND', 'The requested resource was not found.'],
  408: ['DEADLINE_EXCEEDED', 'The request timed out.'],
  409: ['ABORTED', 'The operation was aborted.'],
  413: ['INVALID_ARGUMENT', 'Request payload size exceeds the limit.'],
  429: ['RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).'],
  499: ['CANCELLED', 'The operation was cancelled.'],
  500: ['INTERNAL', 'An internal error has occurred. Please retry.'],
  501: ['UNIMPLEMENTED', 'The operation is not implemented.'],
  503: ['UNAVAILABLE', 'The model is overloaded. Please try again later.'],
  504: ['DEADLINE_EXCEEDED', 'The deadline expired before the operation could complete.'],
}

/** The `error` object of an error body or an error event. */
export function geminiError(problem: Problem): Record<string, unknown> {
  const [status, message] = ERRORS[problem.status] ?? [
    'UNKNOWN',
    `The request failed with status ${problem.status}.`,
  ]
  const unknownModel =
    problem.kind === 'model-not-found'
      ? `models/${problem.model ?? ''} is not found for API version v1beta, or is not supported for ` +
        'generateContent. Call ListModels to see the list of available models and their supported methods.'
      : undefined
  const seconds = Number(problem.retryAfter)
  return {
    code: problem.status,
    message: problem.message ?? unknownModel ?? message,
    status,
    // Clients of Gemini read the delay here, not in a header.
    ...(problem.retryAfter !== undefined &&
      Number.isFinite(seconds) && {
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${seconds}s` }],
      }),
  }
}

export const gemini: Vendor = {
  name: 'gemini',
  defaultModels: ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-2.0-flash'],
  overloadedStatus: 503,
  key: (headers, query) => headers['x-goog-api-key'] ?? query.get('key') ?? undefined,
  headers: () => ({ vary: 'Origin, X-Origin, Referer', server: 'scaffolding on HTTPServer2' }),
  error: (problem) => ({ error: geminiError(problem) }),
  list: (models) => ({ models: models.map(modelObject) }),
  model: modelObject,
  // https://ai.google.dev/api/tokens
  count: (text) => {
    const totalTokens = estimateTokens(text.length)
    return { totalTokens, promptTokensDetails: [{ modality: 'TEXT', tokenCount: totalTokens }] }
  },
}

function modelObject(id: string): Record<string, unknown> {
  return {
    name: `models/${id}`,
    version: '001',
    displayName: id,
    description: 'A simulated model.',
    inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  }
}
