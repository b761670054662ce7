/** Google Gemini through `@google/generative-ai`, or through a client of `@google/genai` (Vertex AI included). */
import type { GoogleGenAI } from '@google/genai'
import type { GoogleGenerativeAI } from '@google/generative-ai'
import { SseDecoder } from '../../transport/decode.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { ModelInfo } from '../../types.ts'
import { contentBody } from './request.ts'
import { ContentEventMapper } from './events.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import { fetchOf, VendorConnection } from '../shared/vendor-connection.ts'

type Fields = Record<string, unknown>

/** One request to a model. */
interface Call {
  model: string
  body: Fields & { generationConfig: Fields }
  /**
   * Fields of the body from the caller, the same for both SDKs. They win over ours at the top level; those of
   * `generationConfig` win key by key, so that one responseMimeType does not cost the temperature.
   */
  vendor: Fields & { generationConfig?: Fields }
  stream: boolean
  key: string | undefined
}

/** What the SDKs have in common. */
interface Sender {
  /** The fetch that the user's own client sends with. */
  readonly ownFetch?: Fetch | undefined
  generate(call: Call, fetch: Fetch): Promise<unknown>
  countTokens(call: Call, fetch: Fetch): Promise<unknown>
  listModels(fetch: Fetch, key: string | undefined): Promise<unknown>
}

export const create: CreateProvider = async (config) => {
  const client = config.client as GoogleGenAI | GoogleGenerativeAI | undefined
  if (client && 'models' in client) return new GeminiProvider(config, new GenAISender(config, client))
  if (client) return new GeminiProvider(config, new GenerativeAISender(config, () => client))
  const { GoogleGenerativeAI } = await import('@google/generative-ai')
  return new GeminiProvider(config, new GenerativeAISender(config, (key) => new GoogleGenerativeAI(key)))
}

class GeminiProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #sender: Sender
  readonly #connection: VendorConnection

  constructor(config: ProviderConfig, sender: Sender) {
    this.name = config.name
    this.#config = config
    this.#sender = sender
    this.#connection = new VendorConnection(config)
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.chunks(
      () => this.#send(request, signal, true),
      new SseDecoder(this.#config.maxLineBytes),
      new ContentEventMapper(this.name, request.model),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    return this.#connection.whole(
      this.#send(request, signal, false),
      new ContentEventMapper(this.name, request.model),
      request.model,
    )
  }

  async countTokens(request: ChatRequest, signal: AbortSignal): Promise<number> {
    const call = await this.#call(request, false)
    const sent = { ...request, fetch: this.#ownFetch() }
    const reply = await this.#connection.exchange(sent, signal, ':countTokens', (fetch) =>
      this.#sender.countTokens(call, fetch),
    )
    return this.#connection.tokens(reply, 'totalTokens', request.model)
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const key = await this.#connection.key()
    const reply = await this.#connection.exchange({ fetch: this.#ownFetch() }, signal, '/models', (fetch) =>
      this.#sender.listModels(fetch, key),
    )
    const { body } = await this.#connection.body(reply, '')
    return ((body['models'] ?? body['publisherModels'] ?? []) as ModelFields[]).map(modelInfo)
  }

  async #send(request: ChatRequest, signal: AbortSignal, stream: boolean) {
    const call = await this.#call(request, stream)
    const path = stream ? ':streamGenerateContent' : ':generateContent'
    // Neither SDK gets the signal: one leaves a listener on it for every call. The exchange obeys it.
    return this.#connection.exchange({ ...request, fetch: this.#ownFetch() }, signal, path, (fetch) =>
      this.#sender.generate(call, fetch),
    )
  }

  async #call(request: ChatRequest, stream: boolean): Promise<Call> {
    const key = await this.#connection.key()
    const { model, vendor = {} } = request
    return { model, body: contentBody(request, this.name), vendor, stream, key }
  }

  /** The fetch of a user's own client stays in use, where it is not merely the default. */
  #ownFetch(): Fetch | undefined {
    return fetchOf(this.#config, { fetch: this.#sender.ownFetch })
  }
}

const defaultBaseURL = 'https://generativelanguage.googleapis.com'
const apiVersion = 'v1beta'

class GenerativeAISender implements Sender {
  readonly #config: ProviderConfig
  readonly #client: (key: string) => GoogleGenerativeAI

  constructor(config: ProviderConfig, client: (key: string) => GoogleGenerativeAI) {
    this.#config = config
    this.#client = client
  }

  async generate(call: Call, fetch: Fetch): Promise<void> {
    const generative = this.#model(call)
    // The body is wider than the SDK's types, which end before thinking; it sends what it is given.
    const sent = wholeBody(call) as never
    if (!call.stream) {
      await withGlobalFetch(fetch, () => generative.generateContent(sent))
      return
    }
    const { response } = await withGlobalFetch(fetch, () => generative.generateContentStream(sent))
    // The SDK's second promise: nobody else waits for it, and a rejection would end the process.
    response.catch(() => {})
  }

  async countTokens(call: Call, fetch: Fetch): Promise<void> {
    const generative = this.#model(call)
    const sent = { generateContentRequest: { model: generative.model, ...wholeBody(call) } } as never
    await withGlobalFetch(fetch, () => generative.countTokens(sent))
  }

  #model({ model, key = '' }: Call) {
    const { headers } = this.#config
    return this.#client(key).getGenerativeModel(
      { model },
      { baseUrl: this.#baseURL(), apiVersion, ...(headers ? { customHeaders: headers } : {}) },
    )
  }

  /** The SDK has no list of models. */
  async listModels(fetch: Fetch, key?: string): Promise<void> {
    const headers = { 'x-goog-api-key': key ?? this.#client('').apiKey, ...this.#config.headers }
    await fetch(`${this.#baseURL()}/${apiVersion}/models?pageSize=1000`, { headers })
  }

  #baseURL(): string {
    return (this.#config.baseURL ?? defaultBaseURL).replace(/\/+$/, '')
  }
}

function wholeBody({ body, vendor }: Call): Fields {
  return { ...body, ...vendor, generationConfig: { ...body.generationConfig, ...vendor.generationConfig } }
}

/**
 * Calls the SDK with a fetch of ours. `@google/generative-ai` has no option for one; it reads the global `fetch` as the
 * default of a parameter (`makeModelRequest(…, fetchFn = fetch)`), which happens while it is being called, before its
 * first await. So ours stands there for the length of that synchronous call and no longer: no other code runs in
 * between, not even that of a call made at the same time, and nobody ever sees it.
 */
function withGlobalFetch<T>(fetch: Fetch, call: () => Promise<T>): Promise<T> {
  const original = globalThis.fetch
  globalThis.fetch = fetch
  try {
    return call()
  } finally {
    globalThis.fetch = original
  }
}

class GenAISender implements Sender {
  readonly #config: ProviderConfig
  readonly #client: GoogleGenAI

  constructor(config: ProviderConfig, client: GoogleGenAI) {
    this.#config = config
    this.#client = client
  }

  get ownFetch(): Fetch | undefined {
    const { apiClient } = this.#client as unknown as { apiClient?: { getFetch?: () => Fetch | undefined } }
    return apiClient?.getFetch?.()
  }

  generate({ model, body, vendor, stream }: Call, fetch: Fetch): Promise<unknown> {
    const { contents, generationConfig, ...rest } = body
    // This SDK takes the fields of the body, those of generationConfig among them, in one flat `config`, and drops
    // what it does not know there. What the caller gave goes into the body as it is.
    const config = {
      ...without(rest, vendor),
      ...without(generationConfig, vendor.generationConfig),
      // It would call tools itself, and ask again where a reply is not whole: one request is one request.
      automaticFunctionCalling: { disable: true },
      automaticContinuation: false,
      httpOptions: { ...this.#httpOptions(fetch), extraBody: vendor },
    }
    const parameters = { model, contents, config } as never
    return stream
      ? this.#client.models.generateContentStream(parameters)
      : this.#client.models.generateContent(parameters)
  }

  /** The SDK takes system and tools on Vertex AI alone; the Gemini API takes them as a whole request. */
  countTokens(call: Call, fetch: Fetch): Promise<unknown> {
    const { model } = call
    const { contents, systemInstruction, tools, generationConfig } = wholeBody(call)
    const whole = { ...wholeBody(call), model: model.startsWith('models/') ? model : `models/${model}` }
    const httpOptions = this.#httpOptions(fetch)
    const parameters = this.#client.vertexai
      ? { model, contents, config: { systemInstruction, tools, generationConfig, httpOptions } }
      : { model, config: { httpOptions: { ...httpOptions, extraBody: { generateContentRequest: whole } } } }
    return this.#client.models.countTokens(parameters as never)
  }

  listModels(fetch: Fetch): Promise<unknown> {
    return this.#client.models.list({ config: { pageSize: 1_000, httpOptions: this.#httpOptions(fetch) } })
  }

  #httpOptions(fetch: Fetch) {
    const { baseURL, headers } = this.#config
    return { fetch, ...(baseURL ? { baseUrl: baseURL } : {}), ...(headers ? { headers } : {}) }
  }
}

function without(fields: Fields, others: Fields = {}): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !(name in others)))
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
