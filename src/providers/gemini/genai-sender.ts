/** Sends requests through a user's client of `@google/genai`, for the Gemini API or for Vertex AI. */
import type { GoogleGenAI } from '@google/genai'
import type { ProviderConfig } from '../../provider.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { Fields } from '../shared/fields.ts'
import { wholeBody } from './sender.ts'
import type { GeminiCall, Sender } from './sender.ts'

export class GenAISender implements Sender {
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

  generate({ model, body, vendor, stream }: GeminiCall, fetch: Fetch): Promise<unknown> {
    const { contents, generationConfig, ...rest } = body
    // This SDK takes the fields of the body and of its generationConfig in one flat `config`, and drops the fields that
    // it does not know. The caller's own fields go into the body unchanged, as `extraBody`.
    const config = {
      ...without(rest, vendor),
      ...without(generationConfig, vendor.generationConfig),
      // Otherwise the SDK would call tools itself and request the rest of an incomplete reply; a call is one request.
      automaticFunctionCalling: { disable: true },
      automaticContinuation: false,
      httpOptions: { ...this.#httpOptions(fetch), extraBody: vendor },
    }
    const parameters = { model, contents, config } as never
    return stream
      ? this.#client.models.generateContentStream(parameters)
      : this.#client.models.generateContent(parameters)
  }

  /**
   * The SDK takes a system text and tools on Vertex AI only. The Gemini API takes them inside a whole request, which
   * goes into the body as `extraBody`.
   */
  countTokens(call: GeminiCall, fetch: Fetch): Promise<unknown> {
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

  #httpOptions(fetch: Fetch): { fetch: Fetch; baseUrl?: string; headers?: Record<string, string> } {
    const { baseURL, headers } = this.#config
    return { fetch, ...(baseURL ? { baseUrl: baseURL } : {}), ...(headers ? { headers } : {}) }
  }
}

function without(fields: Fields, others: Fields = {}): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !(name in others)))
}
