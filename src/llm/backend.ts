/**
 * What stands behind an LLM: a vendor (vendor-caller.ts), or other LLMs (combinators/). The facade derives its methods
 * from this, so whatever takes an LLM takes any of them.
 */
import type { ConvokeError } from '../errors.ts'
import type { CallStart } from '../policies/total-clock.ts'
import type { MadeLLM } from '../threads/recipe.ts'
import type { RequestMessage } from '../provider.ts'
import type { StreamSource } from '../response/response-stream.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { GenerateResponse, ModelInfo, Prompt, PullProgress } from '../types.ts'
import type { GenerateOptions, RequestOptions } from '../options/generate-options.ts'

/** A prompt; or a function that gives the messages of a session, normalised already, as one provider accepts them. */
export type PromptFor = Prompt | ((provider: string) => readonly RequestMessage[])

/** A call that is yet to begin: by `generate` or by `run`, once. */
export interface PendingCall extends StreamSource {
  readonly bufferSize: number
  /** Who answers, as far as that is known by now. */
  readonly provider: string
  /** The whole reply, where the vendor has it by its plain endpoint. */
  generate(): Promise<GenerateResponse>
}

/** What a call gets from the one around it, beside options. */
export interface CallScope {
  /** It runs inside another call, which is counted already. */
  isPart?: boolean
  /** A reply in plain text, whatever calls take by default: no tools, no schema, nothing that ends it early. */
  isPlainText?: boolean
  /** When the first request was sent: `totalMs` of a call counts from there, whoever answers it. */
  callStart?: CallStart
  /** An attempt failed and would be tried again, with nothing visible: true ends the call, for another LLM to answer. */
  handsOver?: (error: ConvokeError) => boolean
}

/** Who may answer a call, and what its window must hold. */
export interface Candidate {
  provider: string
  model: string | undefined
  maxTokens: number | undefined
}

export interface Backend extends MadeLLM {
  /** Of several LLMs, the provider that all have, or the combinator's name. */
  readonly provider: string
  /** Of several LLMs, the model that all have. */
  readonly model: string | undefined
  /** What calls take where they say nothing; of several LLMs, as far as they agree. */
  readonly defaults: Readonly<GenerateOptions>
  /** The vendors' callers in it. */
  readonly leaves: readonly Backend[]
  readonly activity: { running: number; queued: number }
  /** @throws ConvokeError `invalid_request` for bad options, `configuration` when it was closed */
  call(prompt: PromptFor, options: GenerateOptions, scope?: CallScope): PendingCall
  candidates(options: GenerateOptions): Candidate[]
  /** All that decides on the reply, as plain data: two calls with the same may share one. @throws as a call */
  identity(prompt: PromptFor, options: GenerateOptions, scope?: CallScope): unknown
  countTokens(prompt: Prompt, options: GenerateOptions & { exact?: boolean }): Promise<TokenCount>
  listModels(options: RequestOptions): Promise<ModelInfo[]>
  showModel(model: string, options: RequestOptions): Promise<ModelInfo>
  deleteModel(model: string, options: RequestOptions): Promise<void>
  pullModel(model: string, options: RequestOptions): AsyncGenerator<PullProgress, void, void>
  close(): Promise<void>
}
