/** OpenAI, and every server that speaks its chat API, through the `openai` SDK. */
import type OpenAI from 'openai'
import { delegatingFetch, fetchOptionsFor } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ModelInfo } from '../../types.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderConfig } from '../../provider.ts'
import { ClientCache, customFetch, sdkTimeoutMs } from '../shared/vendor-connection.ts'
import type { ReplyLabels } from '../shared/event-mapper.ts'
import { pick } from '../shared/fields.ts'
import { openaiDialect, presets } from '../shared/presets.ts'
import type { Dialect } from '../shared/presets.ts'
import { refuse } from '../shared/request-parts.ts'
import { VendorProvider } from '../shared/vendor-provider.ts'
import { ChatEventMapper } from './chat-events.ts'
import { chatBody } from './chat-request.ts'
import { ResponsesEventMapper } from './responses-events.ts'
import { responsesBody } from './responses-request.ts'

/** The fields of a request to the Responses API that the endpoint for counting tokens takes too. */
const countedFields = [
  ...['model', 'input', 'instructions', 'conversation', 'previous_response_id', 'truncation'],
  ...['tools', 'tool_choice', 'parallel_tool_calls', 'reasoning', 'text'],
]

export const create: CreateProvider = async (config) => {
  const { OpenAI } = await import('openai')
  return new OpenAIProvider(config, OpenAI)
}

class OpenAIProvider extends VendorProvider {
  readonly countTokens?: NonNullable<Provider['countTokens']>
  readonly #sdk: typeof OpenAI
  readonly #dialect: Dialect
  readonly #clients = new ClientCache((key) => this.#makeClient(key))

  constructor(config: ProviderConfig, sdk: typeof OpenAI) {
    super(config, () => customFetch(config, config.client as Parameters<typeof customFetch>[1]))
    this.#sdk = sdk
    this.#dialect = presets[config.preset ?? '']?.dialect ?? openaiDialect
    if (!config.preset) this.countTokens = (request, signal) => this.#countTokens(request, signal)
  }

  /** Only OpenAI itself counts tokens, and its SDK has the endpoint since 6.10; compatible servers have none. */
  async #countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const { stop: _stop, ...counted } = request
    const body = pick(responsesBody(counted, this.name, false), countedFields)
    const path = '/responses/input_tokens'
    const response = await this.connection.exchange(request, signal, path, (fetch, key) => {
      const { inputTokens } = this.#client(key, fetch).responses as Partial<OpenAI['responses']>
      if (!inputTokens) {
        const message = 'This openai package cannot count tokens. Run: npm install openai@latest'
        refuse(request, this.name, message)
      }
      return inputTokens.count(body as never, this.#perRequest(fetch)).asResponse()
    })
    return this.connection.tokens(response, 'input_tokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const response = await this.connection.exchange({}, signal, '/models', (fetch, key) =>
      this.#client(key, fetch).models.list(this.#perRequest(fetch)).asResponse(),
    )
    const { body } = await this.connection.body(response, '')
    return ((body['data'] as { id: string; created?: number }[] | undefined) ?? []).map((raw) => ({
      id: raw.id,
      ...(raw.created ? { createdAt: new Date(raw.created * 1_000) } : {}),
      raw,
    }))
  }

  protected replyMapper(labels: ReplyLabels): ChatEventMapper | ResponsesEventMapper {
    return this.config.api === 'responses'
      ? new ResponsesEventMapper(labels)
      : new ChatEventMapper(labels, this.#dialect)
  }

  protected async send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse> {
    const isResponses = this.config.api === 'responses'
    // The mapped body is wider than the SDK's types, because compatible servers have fields of their own.
    const body = isResponses
      ? responsesBody(request, this.name, stream)
      : chatBody(request, this.name, this.#dialect, stream)
    const path = isResponses ? '/responses' : '/chat/completions'
    return this.connection.exchange(request, signal, path, (fetch, key) => {
      const client = this.#client(key, fetch)
      return isResponses
        ? client.responses.create(body as never, this.#perRequest(fetch)).asResponse()
        : client.chat.completions.create(body as never, this.#perRequest(fetch)).asResponse()
    })
  }

  /** A user's own client is copied for every request, because its owner may change it; a copy costs 15 µs. */
  #client(key: string | undefined, fetch: Fetch): OpenAI {
    const { client, baseURL } = this.config
    if (!client) return this.#clients.of(key)
    const options = { fetch, maxRetries: 0, timeout: sdkTimeoutMs }
    return (client as OpenAI).withOptions({ ...options, ...(baseURL ? { baseURL } : {}) })
  }

  #makeClient(key: string | undefined): OpenAI {
    const { baseURL, headers, preset } = this.config
    return new this.#sdk({
      fetch: delegatingFetch,
      maxRetries: 0,
      timeout: sdkTimeoutMs,
      apiKey: key ?? 'none',
      baseURL: baseURL ?? null,
      defaultHeaders: { ...(key ? {} : { authorization: null }), ...headers },
      // Other vendors must not get the ids that the SDK reads from OPENAI_ORG_ID and OPENAI_PROJECT_ID.
      ...(preset ? { organization: null, project: null } : {}),
      logLevel: 'off',
    })
  }

  /** A user's own client keeps its headers, and the headers of the LLM's options are added to them. */
  #perRequest(fetch: Fetch): { headers?: Record<string, string>; fetchOptions?: object } {
    const { client, headers } = this.config
    if (!client) return { fetchOptions: fetchOptionsFor(fetch) }
    return headers ? { headers } : {}
  }
}
