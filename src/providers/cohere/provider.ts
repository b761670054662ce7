/** Cohere through the `cohere-ai` SDK, version 2 of its Chat API. */
import type { CohereClient } from 'cohere-ai'
import { ConvokeError } from '../../errors.ts'
import { SseDecoder } from '../../transport/decode.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { ModelInfo } from '../../types.ts'
import { requestTexts } from '../../tokens/request-texts.ts'
import { Slices } from '../../tokens/bpe/slices.ts'
import { chatRequest } from './request.ts'
import { ChatEventMapper } from './events.ts'
import { refuse } from '../shared/mapping.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import { sdkTimeoutMs, VendorConnection } from '../shared/vendor-connection.ts'

type ClientOptions = NonNullable<ConstructorParameters<typeof CohereClient>[0]>

/** Models per page: all that Cohere allows. */
const pageSize = 1_000
/** The longest text that Cohere tokenizes: https://docs.cohere.com/reference/tokenize. */
const maxTokenizeUnits = 65_536
/** Requests at once for one long text: Cohere takes 100 in a minute on a trial key, 2 000 on others. */
const tokenizedAtOnce = 4
/** Pages at most, should a server never stop giving tokens for the next. */
const maxPages = 20

export const create: CreateProvider = async (config) => {
  const { CohereClient } = await import('cohere-ai')
  return new CohereProvider(config, CohereClient)
}

class CohereProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #sdk: typeof CohereClient
  readonly #connection: VendorConnection
  /** Options of the user's own client, where there is one. */
  readonly #options: ClientOptions | undefined

  constructor(config: ProviderConfig, sdk: typeof CohereClient) {
    this.name = config.name
    this.#config = config
    this.#sdk = sdk
    this.#connection = new VendorConnection(config)
    this.#options = config.client === undefined ? undefined : optionsOf(config.client, config.name)
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.chunks(
      () => this.#send(request, signal, true),
      new SseDecoder(this.#config.maxLineBytes),
      new ChatEventMapper(this.name, request.model),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    return this.#connection.whole(
      this.#send(request, signal, false),
      new ChatEventMapper(this.name, request.model),
      request.model,
    )
  }

  /** Cohere counts text alone, without what a chat puts around it. */
  async countTokens(request: ChatRequest, signal: AbortSignal, onAnswer?: () => void): Promise<number> {
    const texts = textsToCount(request, this.name).values()
    let tokens = 0
    let hasFailed = false
    const countOn = async () => {
      for (const text of texts) {
        try {
          const counted = await this.#tokenize(text, request, signal)
          tokens += counted
        } catch (error) {
          hasFailed = true
          throw error
        }
        // The others' requests end by the signal; no further ones begin.
        if (hasFailed) return
        onAnswer?.()
      }
    }
    await Promise.all(Array.from({ length: tokenizedAtOnce }, countOn))
    return tokens
  }

  async #tokenize(text: string, request: ChatRequest, signal: AbortSignal): Promise<number> {
    const { model } = request
    const key = await this.#connection.key()
    const sent = { ...request, fetch: this.#ownFetch() }
    const reply = await this.#connection.exchange(sent, signal, '/tokenize', (fetch) =>
      this.#client(key, fetch).tokenize({ text, model }),
    )
    const { body } = await this.#connection.body(reply, model)
    const { tokens } = body
    if (Array.isArray(tokens)) return tokens.length
    throw this.#connection.error('malformed_response', 'The reply has no list of tokens.', model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const models: ModelInfo[] = []
    let pageToken: string | undefined
    for (let page = 0; page < maxPages; page++) {
      const key = await this.#connection.key()
      const request = { endpoint: 'chat' as const, pageSize, ...(pageToken ? { pageToken } : {}) }
      const reply = await this.#connection.exchange({ fetch: this.#ownFetch() }, signal, '/models', (fetch) =>
        this.#client(key, fetch).models.list(request),
      )
      const { body } = await this.#connection.body(reply, '')
      models.push(...((body['models'] as ModelFields[] | undefined) ?? []).map(modelInfo))
      pageToken = body['next_page_token'] as string | undefined
      if (!pageToken) break
    }
    return models
  }

  async #send(request: ChatRequest, signal: AbortSignal, stream: boolean) {
    const key = await this.#connection.key()
    // The mapped body is wider than the SDK's types: `vendor` may hold fields of any name.
    const body = chatRequest(request, this.name) as never
    return this.#connection.exchange({ ...request, fetch: this.#ownFetch() }, signal, '/v2/chat', (fetch) => {
      const { v2 } = this.#client(key, fetch)
      // The SDK gets no signal: it would leave two listeners on it for every call. The exchange obeys it.
      return stream ? v2.chatStream(body) : v2.chat(body)
    })
  }

  /** A client for one request: its fetch is that request's own. It costs 5 µs; a CohereClientV2 costs 20. */
  #client(key: string | undefined, fetch: Fetch): CohereClient {
    const { baseURL, headers } = this.#config
    return new this.#sdk({
      // An empty token sends no authorization, and leaves CO_API_KEY alone.
      ...(this.#options ?? { token: key ?? '' }),
      maxRetries: 0,
      timeoutInSeconds: sdkTimeoutMs / 1_000,
      fetch,
      ...(baseURL ? { baseUrl: baseURL } : {}),
      ...(headers ? { headers: { ...this.#options?.headers, ...headers } } : {}),
    })
  }

  /** The fetch of a user's own client stays in use. */
  #ownFetch(): Fetch | undefined {
    return this.#config.fetch ?? this.#options?.fetch
  }
}

/** The texts of a request in pieces that the endpoint takes; a cut costs a token at most. */
function textsToCount(request: ChatRequest, name: string): string[] {
  const { texts, media } = requestTexts(request)
  if (media > 0) {
    refuse(
      name,
      request.model,
      'Cohere counts the tokens of text alone. Leave out pictures and files, or exact.',
    )
  }
  const slices = new Slices([texts.join('\n')], maxTokenizeUnits * 0.9)
  const pieces: string[] = []
  while (!slices.isDone) {
    const slice = slices.next() ?? ''
    for (let at = 0, end; at < slice.length; at = end) {
      end = Math.min(at + maxTokenizeUnits, slice.length)
      // Half a surrogate pair has no bytes of its own.
      if (end < slice.length && (slice.codePointAt(end - 1) as number) > 0xffff) end--
      pieces.push(slice.slice(at, end))
    }
  }
  return pieces
}

/** The options of a CohereClient or CohereClientV2; one that was made without any has none. */
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
