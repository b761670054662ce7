/** The contract that every vendor's adapter keeps, and the request that it is given. */
import type {
  FinishChunk,
  GenerateResponse,
  ModelInfo,
  PullProgress,
  ReasoningOption,
  ResetChunk,
  StreamChunk,
  ToolCallPart,
  ToolChoice,
  ToolDefinition,
  ToolResultPart,
  Usage,
  Warning,
  TextPart,
  ReasoningPart,
} from './types.ts'

/** An image or file whose bytes are known (`base64`), or that the vendor is to load itself (`url`). */
export type MediaPart = { type: 'image' | 'file'; mediaType: string; name?: string } & (
  { base64: string; url?: never } | { url: string; base64?: never }
)

/** A message with nothing left to guess: content is always parts. System messages have left for `request.system`. */
export type RequestMessage =
  | { role: 'user'; content: (TextPart | MediaPart)[] }
  | { role: 'assistant'; content: (TextPart | ReasoningPart | ToolCallPart)[] }
  | { role: 'tool'; content: (ToolResultPart & { name: string })[] }

/** One request as a provider gets it: checked, defaults applied, shorthands resolved. */
export interface ChatRequest {
  model: string
  system?: string
  /** Never empty; tool results follow the calls that they answer. */
  messages: RequestMessage[]
  temperature?: number
  maxTokens?: number
  topP?: number
  topK?: number
  frequencyPenalty?: number
  presencePenalty?: number
  stop?: string[]
  seed?: number
  reasoning?: ReasoningOption
  tools?: readonly ToolDefinition[]
  toolChoice?: ToolChoice
  metadata?: Record<string, string>
  /** JSON Schema (draft 2020-12) that the reply's text must fit. */
  outputSchema?: Record<string, unknown>
  vendor?: Record<string, unknown>
  connectMs: number
  idleMs: number
  /** Tells the caller of something that was dropped or changed. */
  warn(warning: Warning): void
}

/** Usage as far as a vendor reported it; what is missing is estimated. */
export type ReportedUsage = Partial<Omit<Usage, 'source'>>

/**
 * What a provider yields: the chunks of the public stream, but that its `finish` may lack usage, and that a `usage`
 * chunk (not delivered) may tell usage early, for a stream that breaks. A `text` chunk without text is a sign of life:
 * it restarts the idle clock and is not delivered.
 */
export type ProviderChunk =
  | Exclude<StreamChunk, FinishChunk | ResetChunk>
  | (Omit<FinishChunk, 'usage'> & { usage?: ReportedUsage })
  | { type: 'usage'; content: ''; usage: ReportedUsage }

/** The adapter of one vendor. `stream` is all that is needed; the rest are capabilities. */
export interface Provider {
  readonly name: string
  /**
   * Chunks one by one, or those that came together as a list: a step for each chunk costs more than the chunk. Ends by
   * a finish chunk or by throwing one ConvokeError; sends no retry of its own; obeys the signal.
   */
  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<ProviderChunk | readonly ProviderChunk[]>
  /** The vendor's plain endpoint, as the chunks of a whole reply, where that is cheaper than a stream. */
  generate?(request: ChatRequest, signal: AbortSignal): Promise<Iterable<ProviderChunk>>
  /**
   * Tokens of the input, as the vendor's own endpoint counts them. Nothing is generated. Where that takes several
   * requests, each answer is told by `onAnswer`: the clock of `idleMs` starts again.
   */
  countTokens?(request: ChatRequest, signal: AbortSignal, onAnswer?: () => void): Promise<number>
  listModels?(signal: AbortSignal): Promise<ModelInfo[]>
  showModel?(model: string, signal: AbortSignal): Promise<ModelInfo>
  pullModel?(model: string, signal: AbortSignal): AsyncIterable<PullProgress>
  deleteModel?(model: string, signal: AbortSignal): Promise<void>
  /** Closes what the provider opened. */
  close?(): void | Promise<void>
}

/** What a provider is made from. */
export interface ProviderConfig {
  /** The name users see: `openai`, that of a preset, or the option `name`. */
  name: string
  /** The preset, for a server that only speaks OpenAI's API. */
  preset?: string
  /** Gives the key for the next request; undefined where none is needed. */
  apiKey: () => Promise<string | undefined>
  baseURL?: string
  headers?: Record<string, string>
  fetch?: typeof globalThis.fetch
  proxy?: string | false
  api?: 'chat' | 'responses'
  /** The user's own client, where the LLM was made from one. */
  client?: unknown
  maxLineBytes: number
  maxResponseBytes?: number
}

/** Makes a provider; what `registerProvider` takes and every vendor's module exports. */
export type CreateProvider = (config: ProviderConfig) => Provider | Promise<Provider>

export type { GenerateResponse }
