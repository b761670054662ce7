/** Which vendor and which endpoint a request is for. */
import { anthropicMessages } from './anthropic-messages.ts'
import { anthropic } from './anthropic.ts'
import { cohereChat, cohereText } from './cohere-chat.ts'
import { cohere } from './cohere.ts'
import { geminiGenerate, geminiGenerateArray } from './gemini-generate.ts'
import { gemini } from './gemini.ts'
import { ollamaChat, ollamaGenerate } from './ollama-chat.ts'
import { ollama } from './ollama.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import { openai } from './openai.ts'
import type { SimulatedApi } from './types.ts'
import type { Vendor, WireFormat } from './wire-format.ts'

/** Where a request goes. */
export interface Route {
  vendor: Vendor
  api: SimulatedApi
  /** The endpoints that answer by a reply, and those that read a conversation, have one. */
  format?: WireFormat
  /** From the path, where the vendor puts it there. */
  model?: string
  /** From the path, where the vendor puts it there. */
  stream?: boolean
}

type Headers = Record<string, string>

const FIXED: Record<string, Route> = {
  'POST /v1/chat/completions': { vendor: openai, api: 'chat', format: openaiChat },
  'POST /v1/responses': { vendor: openai, api: 'responses', format: openaiResponses },
  'POST /v1/responses/input_tokens': {
    vendor: openai,
    api: 'count-tokens',
    format: openaiResponses,
    stream: false,
  },
  'POST /v1/messages': { vendor: anthropic, api: 'messages', format: anthropicMessages },
  'POST /v1/messages/count_tokens': {
    vendor: anthropic,
    api: 'count-tokens',
    format: anthropicMessages,
    stream: false,
  },
  'POST /v1/tokenize': { vendor: cohere, api: 'count-tokens', format: cohereText },
  'POST /v2/chat': { vendor: cohere, api: 'chat', format: cohereChat },
  'POST /api/chat': { vendor: ollama, api: 'chat', format: ollamaChat },
  'POST /api/generate': { vendor: ollama, api: 'generate', format: ollamaGenerate },
  'GET /api/tags': { vendor: ollama, api: 'tags' },
  'GET /api/ps': { vendor: ollama, api: 'ps' },
  'GET /api/version': { vendor: ollama, api: 'version' },
  'POST /api/show': { vendor: ollama, api: 'show' },
  'POST /api/pull': { vendor: ollama, api: 'pull' },
  'DELETE /api/delete': { vendor: ollama, api: 'delete' },
}

/** Of the Gemini API, and of Vertex AI, which says whose models they are. */
const GEMINI_CALL =
  /^\/v1(?:beta1?|alpha)?\/(?:(?:projects\/[^/]+\/locations\/[^/]+\/)?publishers\/google\/)?(?:models|tunedModels)\/(.+):(\w+)$/
const MODELS = /^\/(v1|v1beta|v1alpha)\/models(?:\/(.+))?$/

/** Finds the endpoint; one that nobody has is `unknown`, of the vendor that its headers look like. */
export function findRoute(method: string, path: string, query: URLSearchParams, headers: Headers): Route {
  const fixed = FIXED[`${method} ${path}`]
  if (fixed !== undefined) return fixed
  const [, model, verb] = (method === 'POST' && GEMINI_CALL.exec(path)) || []
  const geminiRoute = model === undefined ? undefined : geminiCall(decode(model), verb, query)
  if (geminiRoute !== undefined) return geminiRoute
  const models = method === 'GET' ? MODELS.exec(path) : null
  if (models !== null) {
    const vendor = models[1] === 'v1' ? vendorOfHeaders(headers, query) : gemini
    return models[2] === undefined
      ? { vendor, api: 'models' }
      : { vendor, api: 'model', model: decode(models[2]) }
  }
  return { vendor: path.startsWith('/api/') ? ollama : vendorOfHeaders(headers, query), api: 'unknown' }
}

function geminiCall(model: string, verb: string | undefined, query: URLSearchParams): Route | undefined {
  const route = { vendor: gemini, model, format: geminiGenerate }
  if (verb === 'generateContent') return { ...route, api: 'generate', stream: false }
  if (verb === 'countTokens') return { ...route, api: 'count-tokens', stream: false }
  if (verb !== 'streamGenerateContent') return undefined
  const format = query.get('alt') === 'sse' ? geminiGenerate : geminiGenerateArray
  return { ...route, format, api: 'generate', stream: true }
}

/** Several vendors have `/v1/models`; their SDKs give themselves away by their headers. */
function vendorOfHeaders(headers: Headers, query: URLSearchParams): Vendor {
  if (headers['anthropic-version'] !== undefined) return anthropic
  if (headers['x-goog-api-key'] !== undefined || query.has('key')) return gemini
  const agent = headers['x-fern-sdk-name'] ?? headers['user-agent'] ?? ''
  return /cohere/i.test(agent) ? cohere : openai
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment // a malformed escape: the model will be unknown, which says enough
  }
}
