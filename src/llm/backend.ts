/**
 * The contract of what is behind an LLM's facade: a vendor (vendor-backend.ts) or other LLMs (combinators/). The facade
 * derives all its methods from this contract, so code that takes an LLM takes either kind.
 */
import type { ConvokeError } from '../errors.ts'
import type { CallStart } from '../policies/total-clock.ts'
import type { MadeLLM } from '../threads/recipe.ts'
import type { NormalizedPrompt } from '../request/normalize-prompt.ts'
import type { StreamSource } from '../response/response-stream.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { GenerateResponse, ModelInfo, Prompt, PullProgress } from '../types.ts'
import type { GenerateOptions, RequestOptions } from '../options/generate-options.ts'

/** A prompt, or a function that gives a session's normalised messages in the form that one provider accepts. */
export type PromptFor = Prompt | ((provider: string) => NormalizedPrompt)

/** A call that has not begun. `generate` or `run` begins it, once. */
export interface PendingCall extends StreamSource {
  readonly bufferSize: number
  /** The provider that answers, as far as it is known by now. */
  readonly provider: string
  /** Asks for the whole reply, by the vendor's endpoint without streaming where there is one. */
  generate(): Promise<GenerateResponse>
}

/** Facts that an outer call gives to a call inside it. */
export interface CallScope {
  /** The call runs inside another call, which is counted as in flight already. */
  isPart?: boolean
  /** The reply is plain text: the defaults for `tools`, `schema`, `stop` and `messages` do not apply. */
  isPlainText?: boolean
  /** The start of the outer call's first request, from which `totalMs` counts for all LLMs that answer it. */
  callStart?: CallStart
  /** Asked before a retry, while the reader has seen nothing: true ends the call instead, so that another LLM answers. */
  handsOver?: (error: ConvokeError) => boolean
}

/** A model that may answer a call, and the tokens of its window that are for the reply. */
export interface Candidate {
  provider: string
  model: string | undefined
  maxTokens: number | undefined
}

export interface Backend extends MadeLLM {
  /** Combined LLMs have their common provider, or the combinator's name. */
  readonly provider: string
  /** Combined LLMs have their common model. */
  readonly model: string | undefined
  /** The options of calls that do not set them. Combined LLMs have those that are equal in all members. */
  readonly defaults: Readonly<GenerateOptions>
  /** The vendors' backends in it. */
  readonly leaves: readonly Backend[]
  readonly activity: { running: number; queued: number }
  /** @throws ConvokeError `invalid_request` for bad options, `configuration` when the LLM was closed */
  call(prompt: PromptFor, options: GenerateOptions, scope?: CallScope): PendingCall
  candidates(options: GenerateOptions): Candidate[]
  /** Everything that affects the reply, as plain data: calls with equal identities may share a cached reply. @throws as a call */
  identity(prompt: PromptFor, options: GenerateOptions, scope?: CallScope): unknown
  countTokens(prompt: Prompt, options: GenerateOptions & { exact?: boolean }): Promise<TokenCount>
  listModels(options: RequestOptions): Promise<ModelInfo[]>
  showModel(model: string, options: RequestOptions): Promise<ModelInfo>
  deleteModel(model: string, options: RequestOptions): Promise<void>
  pullModel(model: string, options: RequestOptions): AsyncGenerator<PullProgress, void, void>
  close(): Promise<void>
}
