/** OpenAI through the `openai` SDK, and every server that speaks its chat API. */
import type OpenAI from 'openai'
import { SseDecoder } from '../transport/decode.ts'
import type { Fetch } from '../transport/exchange.ts'
import type { ModelInfo } from '../types.ts'
import { chatBody, ChatFold } from './openai-chat.ts'
import { responsesBody, ResponsesFold } from './openai-responses.ts'
import { openaiDialect, presets } from './presets.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from './provider.ts'
import { fetchOf, sdkTimeoutMs, VendorConnection } from './vendor-connection.ts'

export const create: CreateProvider = async (config) => {
  const { OpenAI } = await import('openai')
  return new OpenAIProvider(config, OpenAI)
}

class OpenAIProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #sdk: typeof OpenAI
  readonly #connection: VendorConnection
  readonly #dialect

  constructor(config: ProviderConfig, sdk: typeof OpenAI) {
    this.name = config.name
    this.#config = config
    this.#sdk = sdk
    this.#connection = new VendorConnection(config)
    this.#dialect = presets[config.preset ?? '']?.dialect ?? openaiDialect
  }

  async *stream(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ProviderChunk, void, void> {
    const reply = await this.#send(request, signal, true)
    const fold = this.#fold(request)
    yield* this.#connection.chunks(reply, new SseDecoder(this.#config.maxLineBytes), fold, request.model)
  }

  async generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    const reply = await this.#send(request, signal, false)
    const { body, raw } = await this.#connection.body(reply, request.model)
    return this.#fold(request).whole(body, raw)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const key = await this.#connection.key()
    const reply = await this.#connection.exchange({ fetch: this.#ownFetch() }, signal, '/models', (fetch) =>
      this.#client(key, fetch).models.list(this.#perRequest()).asResponse(),
    )
    const { body } = await this.#connection.body(reply, '')
    return ((body['data'] as { id: string; created?: number }[] | undefined) ?? []).map((raw) => ({
      id: raw.id,
      ...(raw.created ? { createdAt: new Date(raw.created * 1_000) } : {}),
      raw,
    }))
  }

  async #send(request: ChatRequest, signal: AbortSignal, stream: boolean) {
    const key = await this.#connection.key()
    const isResponses = this.#config.api === 'responses'
    const body = isResponses
      ? responsesBody(request, this.name, stream)
      : chatBody(request, this.name, this.#dialect, stream)
    const path = isResponses ? '/responses' : '/chat/completions'
    return this.#connection.exchange({ ...request, fetch: this.#ownFetch() }, signal, path, (fetch) => {
      const client = this.#client(key, fetch)
      // The mapped body is wider than the SDK's types: compatible servers have fields of their own.
      return isResponses
        ? client.responses.create(body as never, this.#perRequest()).asResponse()
        : client.chat.completions.create(body as never, this.#perRequest()).asResponse()
    })
  }

  #fold(request: ChatRequest): ChatFold | ResponsesFold {
    return this.#config.api === 'responses'
      ? new ResponsesFold(this.name, request.model)
      : new ChatFold(this.name, request.model, this.#dialect)
  }

  /** A client for one request: its fetch is that request's own. It costs 15 µs. */
  #client(key: string | undefined, fetch: Fetch): OpenAI {
    const { client, baseURL, headers, preset } = this.#config
    const once = { fetch, maxRetries: 0, timeout: sdkTimeoutMs }
    if (client) return (client as OpenAI).withOptions({ ...once, ...(baseURL ? { baseURL } : {}) })
    return new this.#sdk({
      ...once,
      apiKey: key ?? 'none',
      baseURL: baseURL ?? null,
      defaultHeaders: { ...(key ? {} : { authorization: null }), ...headers },
      // OPENAI_ORG_ID and its kin are not for other vendors.
      ...(preset ? { organization: null, project: null } : {}),
      logLevel: 'off',
    })
  }

  /** A user's own client keeps its headers; those of the LLM's options join them. The exchange has the signal. */
  #perRequest(): { headers?: Record<string, string> } {
    const { client, headers } = this.#config
    return client && headers ? { headers } : {}
  }

  /** The fetch of a user's own client stays in use, where it is not merely the default. */
  #ownFetch(): Fetch | undefined {
    return fetchOf(this.#config, this.#config.client as Parameters<typeof fetchOf>[1])
  }
}
