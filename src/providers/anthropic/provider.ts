/** Anthropic through the `@anthropic-ai/sdk` SDK: its Messages API. */
import type Anthropic from '@anthropic-ai/sdk'
import { SseDecoder } from '../../transport/decode.ts'
import { interceptingFetch, intercept } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { ModelInfo } from '../../types.ts'
import { MessagesEventMapper } from './events.ts'
import { hasSampling, messagesBody } from './request.ts'
import { pick } from '../shared/mapping.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import { Clients, fetchOf, sdkTimeoutMs, VendorConnection } from '../shared/vendor-connection.ts'

/** Models per page: all that Anthropic allows. */
const pageSize = 1_000
/** Pages at most, should a server never say that it was the last. */
const maxPages = 20
/** The API version, SDK 1.0's own, that first refuses temperature, top_p and top_k, even as defaults. */
const refusesSamplingSince = '2026-10-21'

/** What the endpoint that counts takes of a request to the Messages API. */
const countedFields = [
  ...['model', 'messages', 'system', 'tools', 'tool_choice', 'thinking', 'output_config'],
  ...['cache_control', 'mcp_servers', 'context_management'],
]

export const create: CreateProvider = async (config) => {
  const { Anthropic } = await import('@anthropic-ai/sdk')
  return new AnthropicProvider(config, Anthropic)
}

class AnthropicProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #sdk: typeof Anthropic
  readonly #connection: VendorConnection
  /** Options of every request. Headers stand here, so that a user's own client sends them too. */
  readonly #options: { headers?: Record<string, string> }
  readonly #clients = new Clients((key) => this.#makeClient(key))
  #takesSampling: boolean | undefined

  constructor(config: ProviderConfig, sdk: typeof Anthropic) {
    this.name = config.name
    this.#config = config
    this.#sdk = sdk
    this.#connection = new VendorConnection(config)
    this.#options = config.headers ? { headers: config.headers } : {}
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.chunks(
      () => this.#send(request, signal, true),
      new SseDecoder(this.#config.maxLineBytes),
      new MessagesEventMapper(this.name, request.model),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    return this.#connection.whole(
      this.#send(request, signal, false),
      new MessagesEventMapper(this.name, request.model),
      request.model,
    )
  }

  async countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const key = await this.#connection.key()
    const body = pick(messagesBody(request, this.name, false, true), countedFields)
    const sent = { ...request, fetch: this.#ownFetch() }
    const reply = await this.#connection.exchange(sent, signal, '', (fetch) =>
      this.#client(key, fetch)
        .messages.countTokens(body as never, this.#perRequest(fetch))
        .asResponse(),
    )
    return this.#connection.tokens(reply, 'input_tokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const models: ModelInfo[] = []
    let after: string | undefined
    for (let page = 0; page < maxPages; page++) {
      const key = await this.#connection.key()
      const query = { limit: pageSize, ...(after ? { after_id: after } : {}) }
      const reply = await this.#connection.exchange({ fetch: this.#ownFetch() }, signal, '', (fetch) =>
        this.#client(key, fetch).models.list(query, this.#perRequest(fetch)).asResponse(),
      )
      const { body } = await this.#connection.body(reply, '')
      models.push(...((body['data'] as ModelFields[] | undefined) ?? []).map(modelInfo))
      after = (body['last_id'] as string | null | undefined) ?? undefined
      if (!body['has_more'] || !after) break
    }
    return models
  }

  async #send(request: ChatRequest, signal: AbortSignal, stream: boolean) {
    const key = await this.#connection.key()
    // No path: a client sends nothing else through this fetch, and clients of other clouds have other paths.
    return this.#connection.exchange({ ...request, fetch: this.#ownFetch() }, signal, '', async (fetch) => {
      const client = this.#client(key, fetch)
      const takesSampling = hasSampling(request) && (await this.#asksOldVersion(client))
      const body = messagesBody(request, this.name, stream, takesSampling)
      // The SDK gets no signal: it would leave a listener on it for every call. The exchange obeys it.
      // The mapped body is wider than the SDK's types: `vendor` may hold fields of any name.
      return client.messages.create(body as never, this.#perRequest(fetch)).asResponse()
    })
  }

  /**
   * Whether requests name an API version that still takes sampling options. It is the SDK's own, or set by a
   * header of this LLM, of the user's client, or of the environment; so the SDK is asked what it would send.
   */
  async #asksOldVersion(client: Anthropic): Promise<boolean> {
    if (this.#takesSampling === undefined) {
      const { req } = await client.buildRequest({ method: 'post', path: '/v1/messages', ...this.#options })
      const version = new Headers(req.headers).get('anthropic-version')
      this.#takesSampling = version !== null && version < refusesSamplingSince
    }
    return this.#takesSampling
  }

  /** A user's own client may be changed at any time, so it is copied for every request; it costs 17 µs. */
  #client(key: string | undefined, fetch: Fetch): Anthropic {
    const { client, baseURL } = this.#config
    if (!client) return this.#clients.of(key)
    const once = { fetch, maxRetries: 0, timeout: sdkTimeoutMs }
    return (client as Anthropic).withOptions({ ...once, ...(baseURL ? { baseURL } : {}) })
  }

  #makeClient(key: string | undefined): Anthropic {
    return new this.#sdk({
      fetch: interceptingFetch,
      maxRetries: 0,
      // With a time-out of its own, the SDK does not refuse plain calls that may take longer than ten minutes.
      timeout: sdkTimeoutMs,
      apiKey: key ?? 'none',
      // Left out, it would be read from ANTHROPIC_AUTH_TOKEN.
      authToken: null,
      baseURL: this.#config.baseURL ?? null,
      // The key goes in the one since SDK 1.0, in the other before.
      ...(key ? {} : { defaultHeaders: { authorization: null, 'x-api-key': null } }),
      logLevel: 'off',
    })
  }

  #perRequest(fetch: Fetch): { headers?: Record<string, string>; fetchOptions?: object } {
    return this.#config.client ? this.#options : { ...this.#options, fetchOptions: intercept(fetch) }
  }

  /** The fetch of a user's own client stays in use, where it is not merely the default. */
  #ownFetch(): Fetch | undefined {
    return fetchOf(this.#config, this.#config.client as Parameters<typeof fetchOf>[1])
  }
}

/** What Anthropic tells of a model; the later fields only of newer ones. */
interface ModelFields {
  id: string
  display_name?: string
  created_at?: string
  max_input_tokens?: number | null
  max_tokens?: number | null
}

function modelInfo(raw: ModelFields): ModelInfo {
  // The epoch stands for an unknown date.
  const createdAtMs = Date.parse(raw.created_at ?? '')
  return {
    id: raw.id,
    ...(raw.display_name ? { name: raw.display_name } : {}),
    ...(raw.max_input_tokens ? { contextWindow: raw.max_input_tokens } : {}),
    ...(raw.max_tokens ? { maxOutputTokens: raw.max_tokens } : {}),
    ...(createdAtMs > 0 ? { createdAt: new Date(createdAtMs) } : {}),
    raw,
  }
}
