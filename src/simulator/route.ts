/** Finds the vendor and the endpoint of a request. */
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

/** The endpoint of a request. */
export interface Route {
  vendor: Vendor
  api: SimulatedApi
  /** How to read a conversation and to write a reply. Absent for endpoints that do neither. */
  format?: WireFormat
  /** The model in the path, for vendors that put it there. */
  model?: string
  /** Whether the path asks for a stream, for vendors that put it there. */
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

/** Calls of the Gemini API, and of Vertex AI, whose paths also name the publisher of the model. */
const GEMINI_CALL =
  /^\/v1(?:beta1?|alpha)?\/(?:(?:projects\/[^/]+\/locations\/[^/]+\/)?publishers\/google\/)?(?:models|tunedModels)\/(.+):(\w+)$/
const MODELS = /^\/(v1|v1beta|v1alpha)\/models(?:\/(.+))?$/

/** Finds the endpoint. For a path that no vendor has it is `unknown`, of the vendor that the headers look like. */
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

/** Tells vendors apart by the headers of their SDKs, because several of them have `/v1/models`. */
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
    return segment // a malformed escape, whose model will be unknown
  }
}
