/** The contract of every vendor's adapter, and the request that an adapter gets. */
import type {
  FinishChunk,
  ModelInfo,
  PullProgress,
  ReasoningOption,
  ReasoningPart,
  ResetChunk,
  StreamChunk,
  TextPart,
  ToolCallPart,
  ToolChoice,
  ToolDefinition,
  ToolResultPart,
  Usage,
  Warning,
} from './types.ts'

/** An image or file, as its bytes (`base64`) or as a URL that the vendor loads itself (`url`). */
export type MediaPart = { type: 'image' | 'file'; mediaType: string; name?: string } & (
  { base64: string; url?: never } | { url: string; base64?: never }
)

/**
 * A message in its full form: the content is always a list of parts. There are no system messages, because their texts
 * are gathered in `ChatRequest.system`.
 */
export type RequestMessage =
  | { role: 'user'; content: (TextPart | MediaPart)[] }
  | { role: 'assistant'; content: (TextPart | ReasoningPart | ToolCallPart)[] }
  | { role: 'tool'; content: (ToolResultPart & { name: string })[] }

/** One request as a provider gets it: it is checked, the defaults are applied, and shorthands are written out. */
export interface ChatRequest {
  /** The model's name, as the vendor knows it. */
  model: string
  /** The system prompt: the option `system`, and behind it the texts of system messages. */
  system?: string
  /** The conversation. It is never empty, and tool results follow the calls that they answer. */
  messages: RequestMessage[]
  /** As in `GenerateOptions`. */
  temperature?: number
  /** The most tokens of output. */
  maxTokens?: number
  /** As in `GenerateOptions`. */
  topP?: number
  /** As in `GenerateOptions`. */
  topK?: number
  /** As in `GenerateOptions`. */
  frequencyPenalty?: number
  /** As in `GenerateOptions`. */
  presencePenalty?: number
  /** Texts that end the reply, always as a list. */
  stop?: string[]
  /** As in `GenerateOptions`. */
  seed?: number
  /** As in `GenerateOptions`. */
  reasoning?: ReasoningOption
  /** Tools that the model may call. */
  tools?: readonly ToolDefinition[]
  /** Whether the model may, must or must not call a tool. */
  toolChoice?: ToolChoice
  /** Labels for the vendor's dashboard. */
  metadata?: Record<string, string>
  /** The JSON Schema (draft 2020-12) that the reply's text must fit. */
  outputSchema?: Record<string, unknown>
  /** Fields for the vendor's SDK. They are passed unchanged and replace mapped fields. */
  vendor?: Record<string, unknown>
  /** The longest time to connect, in milliseconds. */
  connectMs: number
  /** The longest silence of the vendor, in milliseconds. */
  idleMs: number
  /** Adds a warning to the response, for a part of the request that was dropped or changed. */
  warn(warning: Warning): void
}

/** The usage that a vendor reported. Missing counts are estimated. */
export type ReportedUsage = Partial<Omit<Usage, 'source'>>

/**
 * A chunk from a provider. It is a chunk of the public stream, with these differences: a `finish` chunk may lack usage;
 * a `usage` chunk, which is not delivered, reports usage early, in case the stream breaks; a `text` chunk without text
 * is a sign of life, which restarts the idle clock and is not delivered.
 */
export type ProviderChunk =
  | Exclude<StreamChunk, FinishChunk | ResetChunk>
  | (Omit<FinishChunk, 'usage'> & { usage?: ReportedUsage })
  | { type: 'usage'; content: ''; usage: ReportedUsage }

/** The adapter of one vendor. Only `stream` is required; the optional methods are capabilities. */
export interface Provider {
  /** The name that errors and responses show. */
  readonly name: string
  /**
   * The chunks of a reply. Chunks that arrive together may come as a list, because a step of the iterator costs more
   * than a chunk. The stream ends by a finish chunk or by throwing one ConvokeError, sends no retry of its own, and
   * obeys the signal.
   */
  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<ProviderChunk | readonly ProviderChunk[]>
  /** The chunks of a whole reply from the vendor's plain endpoint, where that is cheaper than a stream. */
  generate?(request: ChatRequest, signal: AbortSignal): Promise<Iterable<ProviderChunk>>
  /**
   * The number of input tokens, as the vendor's own endpoint counts them. Nothing is generated.
   * @param onAnswer called after each request when counting takes several; it restarts the clock of `idleMs`
   */
  countTokens?(request: ChatRequest, signal: AbortSignal, onAnswer?: () => void): Promise<number>
  /** Lists the models that the vendor offers. */
  listModels?(signal: AbortSignal): Promise<ModelInfo[]>
  /** Describes one model. */
  showModel?(model: string, signal: AbortSignal): Promise<ModelInfo>
  /** Downloads a model, and yields each step. */
  pullModel?(model: string, signal: AbortSignal): AsyncIterable<PullProgress>
  /** Removes a model. */
  deleteModel?(model: string, signal: AbortSignal): Promise<void>
  /** Closes all that the provider opened. */
  close?(): void | Promise<void>
}

/** The configuration that a provider is made from. */
export interface ProviderConfig {
  /** The name that users see: the provider's, such as `openai`, the preset's, or the option `name`. */
  name: string
  /** The preset, for a server that speaks only OpenAI's API. */
  preset?: string
  /** Gives the key for the next request, or undefined when none is needed. */
  apiKey: () => Promise<string | undefined>
  /** The vendor's address. @default the SDK's own */
  baseURL?: string
  /** Headers to add to each request. */
  headers?: Record<string, string>
  /** Sends the requests in place of convoke's transport. */
  fetch?: typeof globalThis.fetch
  /** The HTTP proxy, or `false` for none. @default the one that the environment names */
  proxy?: string | false
  /** Which of OpenAI's APIs answers. @default 'chat' */
  api?: 'chat' | 'responses'
  /** The user's own client, when the LLM was made from one. */
  client?: unknown
  /** The longest line of a stream, in bytes. */
  maxLineBytes: number
  /** The longest response, in bytes. @default 64 MiB for a plain response, 256 MiB for a stream */
  maxResponseBytes?: number
}

/** Makes a provider. `registerProvider` takes such a function, and every vendor's `provider.ts` exports one. */
export type CreateProvider = (config: ProviderConfig) => Provider | Promise<Provider>
