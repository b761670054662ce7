/** The seam between the Gemini provider and the two SDKs that it can send through. */
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { Fields } from '../shared/fields.ts'

/** One request to a model. */
export interface GeminiCall {
  model: string
  body: Fields & { generationConfig: Fields }
  /**
   * The caller's own fields of the body, the same for both SDKs. They replace mapped fields at the top level; those of
   * `generationConfig` replace mapped ones key by key, so that passing a responseMimeType keeps the temperature.
   */
  vendor: Fields & { generationConfig?: Fields }
  stream: boolean
}

/** Sends requests through one of the SDKs. */
export interface Sender {
  /** The fetch that the user's own client sends with. */
  readonly ownFetch?: Fetch | undefined
  generate(call: GeminiCall, fetch: Fetch, key: string | undefined): Promise<unknown>
  countTokens(call: GeminiCall, fetch: Fetch, key: string | undefined): Promise<unknown>
  listModels(fetch: Fetch, key: string | undefined): Promise<unknown>
}

/** The body of a call with the caller's own fields in it. */
export function wholeBody({ body, vendor }: GeminiCall): Fields {
  return { ...body, ...vendor, generationConfig: { ...body.generationConfig, ...vendor.generationConfig } }
}
