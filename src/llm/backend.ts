/**
 * What stands behind an LLM: a vendor (vendor-caller.ts), or other LLMs (combinators/). The facade derives its methods
 * from this, so whatever takes an LLM takes any of them.
 */
import type { ConvokeError } from '../errors.ts'
import type { SerializedLLM } from '../blocking/protocol.ts'
import type { StreamSource } from '../response/response-stream.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { GenerateResponse, ModelInfo, Prompt, PullProgress } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { RequestOptions } from '../options/request-options.ts'

/** A prompt, or what makes one for the provider that will get it: a session's history differs with it. */
export type PromptFor = Prompt | ((provider: string) => Prompt)

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
  totalClock?: TotalClock
  /** An attempt failed and would be tried again, with nothing visible: true ends the call, for another LLM to answer. */
  handsOver?: (error: ConvokeError) => boolean
}

export interface TotalClock {
  /** By `performance.now()`. */
  startedAtMs?: number
}

/** Who may answer a call, and what its window must hold. */
export interface Candidate {
  provider: string
  model: string | undefined
  maxTokens: number | undefined
}

export interface Backend {
  /** Of several LLMs, the provider that all have, or the combinator's name. */
  readonly provider: string
  /** Of several LLMs, the model that all have. */
  readonly model: string | undefined
  /** What calls take where they say nothing; of several LLMs, as far as they agree. */
  readonly defaults: Readonly<GenerateOptions>
  readonly blocking: 'allow' | undefined
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
  /**
   * What the blocking thread makes it of.
   * @param isMember of a combination, which may answer without one that is closed
   * @throws ConvokeError `blocking_unavailable` where it cannot cross to another thread, `configuration` when it was closed
   */
  plain(isMember?: boolean): SerializedLLM
  close(): Promise<void>
}
