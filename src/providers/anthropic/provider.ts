/** Anthropic's Messages API through the `@anthropic-ai/sdk` SDK. */
import type Anthropic from '@anthropic-ai/sdk'
import { delegatingFetch, fetchOptionsFor } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ModelInfo } from '../../types.ts'
import type { ChatRequest, CreateProvider, ProviderConfig } from '../../provider.ts'
import { ClientCache, customFetch, sdkTimeoutMs } from '../shared/vendor-connection.ts'
import type { ReplyLabels } from '../shared/event-mapper.ts'
import { pick } from '../shared/fields.ts'
import { VendorProvider } from '../shared/vendor-provider.ts'
import { MessagesEventMapper } from './events.ts'
import { hasSampling, messagesBody } from './request.ts'

/** Models per page: the most that Anthropic allows. */
const pageSize = 1_000
/** The most pages to read, in case a server never says that a page is the last. */
const maxPages = 20
/**
 * The first API version, and the default of SDK 1.0, that refuses temperature, top_p and top_k, even with their
 * default values.
 */
const refusesSamplingSince = '2026-10-21'

/** The fields of a request to the Messages API that the endpoint for counting tokens takes too. */
const countedFields = [
  ...['model', 'messages', 'system', 'tools', 'tool_choice', 'thinking', 'output_config'],
  ...['cache_control', 'mcp_servers', 'context_management'],
]

export const create: CreateProvider = async (config) => {
  const { Anthropic } = await import('@anthropic-ai/sdk')
  return new AnthropicProvider(config, Anthropic)
}

class AnthropicProvider extends VendorProvider {
  readonly #sdk: typeof Anthropic
  /** Options of every request. The headers stand here so that a user's own client sends them too. */
  readonly #options: { headers?: Record<string, string> }
  readonly #clients = new ClientCache((key) => this.#makeClient(key))
  #takesSampling: boolean | undefined

  constructor(config: ProviderConfig, sdk: typeof Anthropic) {
    super(config, () => customFetch(config, config.client as Parameters<typeof customFetch>[1]))
    this.#sdk = sdk
    this.#options = config.headers ? { headers: config.headers } : {}
  }

  async countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const body = pick(messagesBody(request, this.name, false, true), countedFields)
    const response = await this.connection.exchange(request, signal, '', (fetch, key) =>
      this.#client(key, fetch)
        .messages.countTokens(body as never, this.#perRequest(fetch))
        .asResponse(),
    )
    return this.connection.tokens(response, 'input_tokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const models: ModelInfo[] = []
    let after: string | undefined
    for (let page = 0; page < maxPages; page++) {
      const query = { limit: pageSize, ...(after ? { after_id: after } : {}) }
      const response = await this.connection.exchange({}, signal, '', (fetch, key) =>
        this.#client(key, fetch).models.list(query, this.#perRequest(fetch)).asResponse(),
      )
      const { body } = await this.connection.body(response, '')
      models.push(...((body['data'] as ModelFields[] | undefined) ?? []).map(modelInfo))
      after = (body['last_id'] as string | null | undefined) ?? undefined
      if (!body['has_more'] || !after) break
    }
    return models
  }

  protected replyMapper(labels: ReplyLabels): MessagesEventMapper {
    return new MessagesEventMapper(labels)
  }

  protected send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse> {
    // The path is empty because a client sends nothing else through this fetch, and clients of other clouds use other
    // paths.
    return this.connection.exchange(request, signal, '', async (fetch, key) => {
      const client = this.#client(key, fetch)
      const takesSampling = hasSampling(request) && (await this.#asksOldVersion(client))
      const body = messagesBody(request, this.name, stream, takesSampling)
      // The mapped body is wider than the SDK's types, because `vendor` may hold fields of any name.
      // Given the signal, the SDK would leave a listener on it for every call; the exchange obeys it instead.
      return client.messages.create(body as never, this.#perRequest(fetch)).asResponse()
    })
  }

  /**
   * Whether requests name an API version that still takes sampling options. The version is the SDK's default, or set by
   * a header of this LLM, of the user's client, or of the environment. So the SDK builds a request, and its header is
   * read.
   */
  async #asksOldVersion(client: Anthropic): Promise<boolean> {
    if (this.#takesSampling === undefined) {
      const { req } = await client.buildRequest({ method: 'post', path: '/v1/messages', ...this.#options })
      const version = new Headers(req.headers).get('anthropic-version')
      this.#takesSampling = version !== null && version < refusesSamplingSince
    }
    return this.#takesSampling
  }

  /** A user's own client is copied for every request, because its owner may change it; a copy costs 17 µs. */
  #client(key: string | undefined, fetch: Fetch): Anthropic {
    const { client, baseURL } = this.config
    if (!client) return this.#clients.of(key)
    const options = { fetch, maxRetries: 0, timeout: sdkTimeoutMs }
    return (client as Anthropic).withOptions({ ...options, ...(baseURL ? { baseURL } : {}) })
  }

  #makeClient(key: string | undefined): Anthropic {
    return new this.#sdk({
      fetch: delegatingFetch,
      maxRetries: 0,
      // Without a time-out in its options, the SDK refuses plain calls that may take longer than ten minutes.
      timeout: sdkTimeoutMs,
      apiKey: key ?? 'none',
      // Without this option the SDK reads ANTHROPIC_AUTH_TOKEN.
      authToken: null,
      baseURL: this.config.baseURL ?? null,
      // SDK 1.0 and newer send the key in `authorization`, older ones in `x-api-key`.
      ...(key ? {} : { defaultHeaders: { authorization: null, 'x-api-key': null } }),
      logLevel: 'off',
    })
  }

  #perRequest(fetch: Fetch): { headers?: Record<string, string>; fetchOptions?: object } {
    return this.config.client ? this.#options : { ...this.#options, fetchOptions: fetchOptionsFor(fetch) }
  }
}

/** A model as Anthropic describes it. Only newer models have the last two fields. */
interface ModelFields {
  id: string
  display_name?: string
  created_at?: string
  max_input_tokens?: number | null
  max_tokens?: number | null
}

function modelInfo(raw: ModelFields): ModelInfo {
  // Anthropic writes the epoch for an unknown date.
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
