/** Sends requests through `@google/generative-ai`. */
import type { GenerativeModel, GoogleGenerativeAI } from '@google/generative-ai'
import type { ProviderConfig } from '../../provider.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import { wholeBody } from './sender.ts'
import type { GeminiCall, Sender } from './sender.ts'

const defaultBaseURL = 'https://generativelanguage.googleapis.com'
const apiVersion = 'v1beta'

export class GenerativeAISender implements Sender {
  readonly #config: ProviderConfig
  readonly #clientFor: (key: string) => GoogleGenerativeAI

  constructor(config: ProviderConfig, clientFor: (key: string) => GoogleGenerativeAI) {
    this.#config = config
    this.#clientFor = clientFor
  }

  async generate(call: GeminiCall, fetch: Fetch, key: string | undefined): Promise<void> {
    const model = this.#model(call, key)
    // The body is wider than the SDK's types, which do not know of thinking; the SDK sends it as it is.
    const body = wholeBody(call) as never
    if (!call.stream) {
      await withGlobalFetch(fetch, () => model.generateContent(body))
      return
    }
    const { response } = await withGlobalFetch(fetch, () => model.generateContentStream(body))
    // Nothing awaits this second promise of the SDK, so its rejection would end the process.
    response.catch(() => {})
  }

  async countTokens(call: GeminiCall, fetch: Fetch, key: string | undefined): Promise<void> {
    const model = this.#model(call, key)
    const body = { generateContentRequest: { model: model.model, ...wholeBody(call) } } as never
    await withGlobalFetch(fetch, () => model.countTokens(body))
  }

  /** Sends the request itself, because the SDK has no list of models. */
  async listModels(fetch: Fetch, key: string | undefined): Promise<void> {
    const headers = { 'x-goog-api-key': key ?? this.#clientFor('').apiKey, ...this.#config.headers }
    await fetch(`${this.#baseURL()}/${apiVersion}/models?pageSize=1000`, { headers })
  }

  #model({ model }: GeminiCall, key = ''): GenerativeModel {
    const { headers } = this.#config
    return this.#clientFor(key).getGenerativeModel(
      { model },
      { baseUrl: this.#baseURL(), apiVersion, ...(headers ? { customHeaders: headers } : {}) },
    )
  }

  #baseURL(): string {
    return (this.#config.baseURL ?? defaultBaseURL).replace(/\/+$/, '')
  }
}

/**
 * Calls the SDK with a fetch of ours. `@google/generative-ai` has no option for a fetch; it reads the global `fetch` as
 * the default of a parameter (`makeModelRequest(…, fetchFn = fetch)`) while it is being called, before its first await.
 * So the global is replaced for the length of that synchronous call only. No other code runs meanwhile, not even that
 * of a call made at the same time, so no other code can see the replacement.
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
