/** Cohere's Chat API, version 2, through the `cohere-ai` SDK. */
import type { CohereClient } from 'cohere-ai'
import { ConvokeError } from '../../errors.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ModelInfo } from '../../types.ts'
import type { ChatRequest, CreateProvider, ProviderConfig } from '../../provider.ts'
import type { ReplyLabels } from '../shared/event-mapper.ts'
import { sdkTimeoutMs } from '../shared/vendor-connection.ts'
import { VendorProvider } from '../shared/vendor-provider.ts'
import { CohereEventMapper } from './events.ts'
import { chatBody } from './request.ts'
import { textsToCount } from './texts-to-count.ts'

type ClientOptions = NonNullable<ConstructorParameters<typeof CohereClient>[0]>

/** Models per page: the most that Cohere allows. */
const pageSize = 1_000
/** The most pages to read, in case a server never stops giving tokens for the next page. */
const maxPages = 20
/** Requests at once to count one long text. Cohere takes 100 a minute on a trial key and 2,000 on others. */
const tokenizedAtOnce = 4

export const create: CreateProvider = async (config) => {
  const { CohereClient } = await import('cohere-ai')
  return new CohereProvider(config, CohereClient)
}

class CohereProvider extends VendorProvider {
  readonly #sdk: typeof CohereClient
  /** The options of the user's own client, if there is one. */
  readonly #clientOptions: ClientOptions | undefined

  constructor(config: ProviderConfig, sdk: typeof CohereClient) {
    const clientOptions = config.client === undefined ? undefined : optionsOf(config.client, config.name)
    super(config, () => config.fetch ?? clientOptions?.fetch)
    this.#sdk = sdk
    this.#clientOptions = clientOptions
  }

  /** Cohere counts only the texts, without the tokens that a chat adds around them. */
  async countTokens(request: ChatRequest, signal: AbortSignal, onAnswer?: () => void): Promise<number> {
    const texts = textsToCount(request, this.name).values()
    let tokens = 0
    let hasFailed = false
    const countNext = async () => {
      for (const text of texts) {
        try {
          const counted = await this.#tokenize(text, request, signal)
          tokens += counted
        } catch (error) {
          hasFailed = true
          throw error
        }
        // After a failure no further request begins; the signal ends those that are under way.
        if (hasFailed) return
        onAnswer?.()
      }
    }
    await Promise.all(Array.from({ length: tokenizedAtOnce }, countNext))
    return tokens
  }

  async #tokenize(text: string, request: ChatRequest, signal: AbortSignal): Promise<number> {
    const { model } = request
    const response = await this.connection.exchange(request, signal, '/tokenize', (fetch, key) =>
      this.#client(key, fetch).tokenize({ text, model }),
    )
    const { body } = await this.connection.body(response, model)
    const { tokens } = body
    if (Array.isArray(tokens)) return tokens.length
    throw this.connection.error('malformed_response', 'The reply has no list of tokens.', model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const models: ModelInfo[] = []
    let pageToken: string | undefined
    for (let page = 0; page < maxPages; page++) {
      const query = { endpoint: 'chat' as const, pageSize, ...(pageToken ? { pageToken } : {}) }
      const response = await this.connection.exchange({}, signal, '/models', (fetch, key) =>
        this.#client(key, fetch).models.list(query),
      )
      const { body } = await this.connection.body(response, '')
      models.push(...((body['models'] as ModelFields[] | undefined) ?? []).map(modelInfo))
      pageToken = body['next_page_token'] as string | undefined
      if (!pageToken) break
    }
    return models
  }

  protected replyMapper(labels: ReplyLabels): CohereEventMapper {
    return new CohereEventMapper(labels)
  }

  protected async send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse> {
    // The mapped body is wider than the SDK's types, because `vendor` may hold fields of any name.
    const body = chatBody(request, this.name) as never
    return this.connection.exchange(request, signal, '/v2/chat', (fetch, key) => {
      const { v2 } = this.#client(key, fetch)
      // Given the signal, this SDK would leave two listeners on it for every call; the exchange obeys it instead.
      return stream ? v2.chatStream(body) : v2.chat(body)
    })
  }

  /**
   * A client for one request, because a client keeps one fetch and each request has its own. It costs 5 µs; a
   * CohereClientV2 costs 20.
   */
  #client(key: string | undefined, fetch: Fetch): CohereClient {
    const { baseURL, headers } = this.config
    return new this.#sdk({
      // With an empty token the SDK sends no authorization and does not read CO_API_KEY.
      ...(this.#clientOptions ?? { token: key ?? '' }),
      maxRetries: 0,
      timeoutInSeconds: sdkTimeoutMs / 1_000,
      fetch,
      ...(baseURL ? { baseUrl: baseURL } : {}),
      ...(headers ? { headers: { ...this.#clientOptions?.headers, ...headers } } : {}),
    })
  }
}

/** The options of a CohereClient or CohereClientV2. A client that was made without options has none. */
function optionsOf(client: unknown, provider: string): ClientOptions {
  const { _options: options = {} } = client as { _options?: ClientOptions }
  if (!options.fetcher) return options
  throw new ConvokeError(
    'configuration',
    'A Cohere client with a fetcher of its own (Bedrock, SageMaker) cannot be used. Pass a CohereClientV2.',
    { provider },
  )
}

interface ModelFields {
  name?: string
  context_length?: number
}

function modelInfo(raw: ModelFields): ModelInfo {
  return {
    id: raw.name ?? '',
    ...(raw.context_length ? { contextWindow: raw.context_length } : {}),
    raw,
  }
}
