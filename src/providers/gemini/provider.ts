/** Google Gemini through `@google/generative-ai`, or through a client of `@google/genai` (Vertex AI included). */
import type { GoogleGenAI } from '@google/genai'
import type { GoogleGenerativeAI } from '@google/generative-ai'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ModelInfo } from '../../types.ts'
import type { ChatRequest, CreateProvider, ProviderConfig } from '../../provider.ts'
import { customFetch } from '../shared/vendor-connection.ts'
import type { ReplyLabels } from '../shared/event-mapper.ts'
import { VendorProvider } from '../shared/vendor-provider.ts'
import { GeminiEventMapper } from './events.ts'
import { GenAISender } from './genai-sender.ts'
import { GenerativeAISender } from './generative-ai-sender.ts'
import { contentBody } from './request.ts'
import type { GeminiCall, Sender } from './sender.ts'

export const create: CreateProvider = async (config) => {
  const client = config.client as GoogleGenAI | GoogleGenerativeAI | undefined
  if (client && 'models' in client) return new GeminiProvider(config, new GenAISender(config, client))
  if (client) return new GeminiProvider(config, new GenerativeAISender(config, () => client))
  const { GoogleGenerativeAI } = await import('@google/generative-ai')
  return new GeminiProvider(config, new GenerativeAISender(config, (key) => new GoogleGenerativeAI(key)))
}

class GeminiProvider extends VendorProvider {
  readonly #sender: Sender

  constructor(config: ProviderConfig, sender: Sender) {
    super(config, () => customFetch(config, { fetch: sender.ownFetch }))
    this.#sender = sender
  }

  async countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const call = this.#call(request, false)
    const response = await this.connection.exchange(request, signal, ':countTokens', (fetch, key) =>
      this.#sender.countTokens(call, fetch, key),
    )
    return this.connection.tokens(response, 'totalTokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const response = await this.connection.exchange({}, signal, '/models', (fetch, key) =>
      this.#sender.listModels(fetch, key),
    )
    const { body } = await this.connection.body(response, '')
    return ((body['models'] ?? body['publisherModels'] ?? []) as ModelFields[]).map(modelInfo)
  }

  protected replyMapper(labels: ReplyLabels): GeminiEventMapper {
    return new GeminiEventMapper(labels)
  }

  protected async send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse> {
    const call = this.#call(request, stream)
    const path = stream ? ':streamGenerateContent' : ':generateContent'
    // Neither SDK gets the signal, because one of them leaves a listener on it for every call. The exchange obeys it.
    return this.connection.exchange(request, signal, path, (fetch, key) =>
      this.#sender.generate(call, fetch, key),
    )
  }

  #call(request: ChatRequest, stream: boolean): GeminiCall {
    const { model, vendor = {} } = request
    return { model, body: contentBody(request, this.name), vendor, stream }
  }
}

interface ModelFields {
  name: string
  displayName?: string
  inputTokenLimit?: number
  outputTokenLimit?: number
}

/** Names are paths: `models/gemini-…`, on Vertex AI `publishers/google/models/gemini-…`. */
function modelInfo(raw: ModelFields): ModelInfo {
  return {
    id: raw.name.replace(/^(publishers\/[^/]+\/)?models\//, ''),
    ...(raw.displayName ? { name: raw.displayName } : {}),
    ...(raw.inputTokenLimit ? { contextWindow: raw.inputTokenLimit } : {}),
    ...(raw.outputTokenLimit ? { maxOutputTokens: raw.outputTokenLimit } : {}),
    raw,
  }
}
