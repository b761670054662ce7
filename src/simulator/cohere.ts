/** The parts that Cohere's endpoints share: keys, error bodies, the list of models. */
import { split } from './prepare-reply.ts'
import { bearerToken } from './wire-format.ts'
import type { Problem, Vendor } from './wire-format.ts'

// https://docs.cohere.com/reference/errors
const MESSAGES: Record<number, string> = {
  400: 'invalid request: please check the parameters of the request',
  401: 'invalid api token',
  402: 'please add or update your payment method at https://dashboard.cohere.com/billing',
  403: 'you do not have access to this resource',
  404: 'resource not found',
  422: 'unprocessable entity',
  429: 'too many requests, please wait and try again later',
  498: 'invalid token: the request was blocked',
  499: 'the request was cancelled by the user',
  500: 'internal server error, this has been reported to our developers',
  501: 'not implemented',
  503: 'service unavailable, please try again later',
  504: 'gateway timeout, please try again later',
}

/** The same ratio as in the simulated counts of the other vendors. */
const charactersPerToken = 4

/** Cohere's message for a problem, in an error body or at the end of a stream. */
export function cohereMessage(problem: Problem): string {
  if (problem.message !== undefined) return problem.message
  if (problem.kind === 'model-not-found') {
    return (
      `model '${problem.model ?? ''}' not found, make sure the correct model ID was used and that you have ` +
      'access to the model.'
    )
  }
  return MESSAGES[problem.status] ?? `the request failed with status ${problem.status}`
}

export const cohere: Vendor = {
  name: 'cohere',
  defaultModels: ['command-a-03-2025', 'command-r-plus-08-2024', 'command-r7b-12-2024'],
  overloadedStatus: 503,
  key: bearerToken,
  headers: (requestId) => ({ 'x-debug-trace-id': requestId }),
  error: (problem, requestId) => ({ id: requestId, message: cohereMessage(problem) }),
  list: (models) => ({ models: models.map(modelObject) }),
  model: modelObject,
  // https://docs.cohere.com/reference/tokenize
  maxCountedUnits: 65_536,
  count: (text) => {
    const token_strings = [...split(text, charactersPerToken)]
    // The ids are made up, because clients only count them.
    const tokens = token_strings.map((_, index) => 5_000 + index)
    return { tokens, token_strings, meta: { api_version: { version: '1' } } }
  },
}

function modelObject(name: string): Record<string, unknown> {
  return {
    name,
    is_deprecated: false,
    endpoints: ['chat'],
    finetuned: false,
    context_length: 256_000,
    default_endpoints: [],
    features: ['tools', 'json_mode'],
  }
}
