/** The parts that OpenAI's endpoints share: keys, error bodies, the list of models. */
import { estimateTokens } from './prepare-reply.ts'
import { bearerToken } from './wire-format.ts'
import type { Problem, Vendor } from './wire-format.ts'

const MESSAGES: Record<number, string> = {
  400: 'We could not parse the JSON body of your request, or one of its parameters is not valid.',
  401:
    'Incorrect API key provided. You can find your API key at ' +
    'https://platform.openai.com/account/api-keys.',
  403: 'You do not have access to the organization tied to the API key.',
  404: 'Invalid URL or unknown resource.',
  408: 'Request timed out.',
  409: 'The resource was updated by another request. Please try again.',
  413: 'Request body is too large.',
  422: 'Unable to process the request.',
  429: 'Rate limit reached for requests. Please try again later.',
  500: 'The server had an error while processing your request. Sorry about that!',
  503: 'The engine is currently overloaded, please try again later.',
}

/** The `error` object of an error body or an error event. */
export function openaiError(problem: Problem): Record<string, unknown> {
  const { status, kind, model } = problem
  const isUnknownModel = kind === 'model-not-found'
  return {
    message:
      problem.message ??
      (isUnknownModel
        ? `The model \`${model ?? ''}\` does not exist or you do not have access to it.`
        : (MESSAGES[status] ?? `The request failed with status ${status}.`)),
    type: errorType(status),
    param: isUnknownModel ? 'model' : null,
    code: isUnknownModel ? 'model_not_found' : errorCode(status),
  }
}

export const openai: Vendor = {
  name: 'openai',
  defaultModels: ['gpt-4o', 'gpt-4o-mini', 'gpt-5', 'gpt-5-mini', 'o4-mini'],
  overloadedStatus: 503,
  key: bearerToken,
  headers: (requestId) => ({
    'x-request-id': requestId,
    'openai-version': '2020-10-01',
    'openai-processing-ms': '1',
  }),
  error: (problem) => ({ error: openaiError(problem) }),
  list: (models) => ({ object: 'list', data: models.map(modelObject) }),
  model: modelObject,
  // https://platform.openai.com/docs/api-reference/responses/input-tokens
  count: (text) => ({ object: 'response.input_tokens', input_tokens: estimateTokens(text.length) }),
}

function modelObject(id: string): Record<string, unknown> {
  return { id, object: 'model', created: 1_715_367_049, owned_by: 'system' }
}

function errorType(status: number): string {
  if (status === 429) return 'requests'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

function errorCode(status: number): string | null {
  if (status === 401) return 'invalid_api_key'
  if (status === 429) return 'rate_limit_exceeded'
  return null
}
