/** OpenAI through the `openai` SDK, and every server that speaks its chat API. */
import type OpenAI from 'openai'
import { SseDecoder } from '../../transport/decode.ts'
import { interceptingFetch, intercept } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { ModelInfo } from '../../types.ts'
import { chatBody } from './chat-request.ts'
import { ChatEventMapper } from './chat-events.ts'
import { pick, refuse } from '../shared/mapping.ts'
import { responsesBody, ResponsesEventMapper } from './responses-request.ts'
import { openaiDialect, presets } from '../shared/presets.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import { Clients, fetchOf, sdkTimeoutMs, VendorConnection } from '../shared/vendor-connection.ts'

/** What the endpoint that counts takes of a request to the Responses API. */
const countedFields = [
  ...['model', 'input', 'instructions', 'conversation', 'previous_response_id', 'truncation'],
  ...['tools', 'tool_choice', 'parallel_tool_calls', 'reasoning', 'text'],
]

export const create: CreateProvider = async (config) => {
  const { OpenAI } = await import('openai')
  return new OpenAIProvider(config, OpenAI)
}

class OpenAIProvider implements Provider {
  readonly name: string
  readonly countTokens?: NonNullable<Provider['countTokens']>
  readonly #config: ProviderConfig
  readonly #sdk: typeof OpenAI
  readonly #connection: VendorConnection
  readonly #dialect
  readonly #clients = new Clients((key) => this.#makeClient(key))

  constructor(config: ProviderConfig, sdk: typeof OpenAI) {
    this.name = config.name
    this.#config = config
    this.#sdk = sdk
    this.#connection = new VendorConnection(config)
    this.#dialect = presets[config.preset ?? '']?.dialect ?? openaiDialect
    if (!config.preset) this.countTokens = (request, signal) => this.#countTokens(request, signal)
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.chunks(
      () => this.#send(request, signal, true),
      new SseDecoder(this.#config.maxLineBytes),
      this.#mapper(request),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    return this.#connection.whole(this.#send(request, signal, false), this.#mapper(request), request.model)
  }

  /** Of OpenAI itself, where its SDK has the endpoint (6.10 and newer); compatible servers have none. */
  async #countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const key = await this.#connection.key()
    const { stop: _stop, ...counted } = request
    const body = pick(responsesBody(counted, this.name, false), countedFields)
    const path = '/responses/input_tokens'
    const sent = { ...request, fetch: this.#ownFetch() }
    const reply = await this.#connection.exchange(sent, signal, path, (fetch) => {
      const { inputTokens } = this.#client(key, fetch).responses as Partial<OpenAI['responses']>
      if (!inputTokens) {
        refuse(
          this.name,
          request.model,
          'This openai package cannot count tokens. Run: npm install openai@latest',
        )
      }
      return inputTokens.count(body as never, this.#perRequest(fetch)).asResponse()
    })
    return this.#connection.tokens(reply, 'input_tokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const key = await this.#connection.key()
    const reply = await this.#connection.exchange({ fetch: this.#ownFetch() }, signal, '/models', (fetch) =>
      this.#client(key, fetch).models.list(this.#perRequest(fetch)).asResponse(),
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
        ? client.responses.create(body as never, this.#perRequest(fetch)).asResponse()
        : client.chat.completions.create(body as never, this.#perRequest(fetch)).asResponse()
    })
  }

  #mapper(request: ChatRequest): ChatEventMapper | ResponsesEventMapper {
    return this.#config.api === 'responses'
      ? new ResponsesEventMapper(this.name, request.model)
      : new ChatEventMapper(this.name, request.model, this.#dialect)
  }

  /** A user's own client may be changed at any time, so it is copied for every request; it costs 15 µs. */
  #client(key: string | undefined, fetch: Fetch): OpenAI {
    const { client, baseURL } = this.#config
    if (!client) return this.#clients.of(key)
    const once = { fetch, maxRetries: 0, timeout: sdkTimeoutMs }
    return (client as OpenAI).withOptions({ ...once, ...(baseURL ? { baseURL } : {}) })
  }

  #makeClient(key: string | undefined): OpenAI {
    const { baseURL, headers, preset } = this.#config
    return new this.#sdk({
      fetch: interceptingFetch,
      maxRetries: 0,
      timeout: sdkTimeoutMs,
      apiKey: key ?? 'none',
      baseURL: baseURL ?? null,
      defaultHeaders: { ...(key ? {} : { authorization: null }), ...headers },
      // OPENAI_ORG_ID and its kin are not for other vendors.
      ...(preset ? { organization: null, project: null } : {}),
      logLevel: 'off',
    })
  }

  /** A user's own client keeps its headers; those of the LLM's options join them. The exchange has the signal. */
  #perRequest(fetch: Fetch): { headers?: Record<string, string>; fetchOptions?: object } {
    const { client, headers } = this.#config
    if (!client) return { fetchOptions: intercept(fetch) }
    return headers ? { headers } : {}
  }

  /** The fetch of a user's own client stays in use, where it is not merely the default. */
  #ownFetch(): Fetch | undefined {
    return fetchOf(this.#config, this.#config.client as Parameters<typeof fetchOf>[1])
  }
}
