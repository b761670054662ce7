/** The types that users write and read: prompts, responses, chunks, usage, error codes. No code runs here. */

/** A piece of visible text. */
export interface TextPart {
  type: 'text'
  /** The text itself. */
  text: string
  /** Opaque proof of the vendor (Gemini's thoughtSignature), to be sent back with the text. Absent on most parts. */
  signature?: string
}

/**
 * A picture. Vendors that load pictures from the web get a `https:` URL as it is; for the other vendors such a URL
 * fails with `invalid_request`.
 */
export interface ImagePart {
  type: 'image'
  /** A `https:` or `data:` URL, base64 text, or the bytes. */
  image: string | URL | Uint8Array
  /** @default read from a data URL or from the first bytes, else `image/png` */
  mediaType?: string
}

/** A document or a sound. URLs are treated as those of an `ImagePart`. */
export interface FilePart {
  type: 'file'
  /** A `https:` or `data:` URL, base64 text, or the bytes. */
  file: string | URL | Uint8Array
  /** Such as `application/pdf`, `text/plain` or `audio/wav`. */
  mediaType: string
  /** The file's name, for vendors that take one. */
  name?: string
}

/**
 * The model's thinking before its answer. It is sent back, with its `signature`, to the provider that made it; for any
 * other provider it is left out, with a warning.
 */
export interface ReasoningPart {
  type: 'reasoning'
  /** The thinking, or the vendor's summary of it. '' when `redacted`. */
  text: string
  /** Opaque proof of the vendor: Anthropic's signature, Gemini's thoughtSignature, OpenAI's encrypted content. */
  signature?: string
  /** True when the vendor withheld the text and gave only a `signature`. */
  redacted?: boolean
  /** The vendor's id of this item. Only from OpenAI's Responses API. */
  id?: string
  /** The name of the provider that made it. Set on every reasoning part of a response. */
  provider?: string
}

/** One call of a tool by the model. */
export interface ToolCall {
  /** Ties the result to the call. Made up where the vendor gives none. */
  id: string
  /** The tool's name. */
  name: string
  /** The parsed JSON arguments; a string for OpenAI's custom (free-form) tools. */
  arguments: unknown
  /** Opaque proof of the vendor (Gemini's thoughtSignature), to be sent back with the call. */
  signature?: string
}

/** A tool call inside an assistant message. */
export interface ToolCallPart extends ToolCall {
  type: 'tool-call'
}

/** The result of one tool call. */
export interface ToolResultPart {
  type: 'tool-result'
  /** The `id` of the call. The call must stand in an earlier assistant message. */
  toolCallId: string
  /** The tool's name, for vendors that match results by name (Gemini, Ollama). @default the name in the call */
  name?: string
  /** Text, or any JSON value, which is sent as JSON text. */
  result: unknown
  /** True when the tool failed and `result` describes the failure. @default false */
  isError?: boolean
}

/**
 * Instructions to the model, added to those of the option `system`. One in the middle of a conversation is moved to the
 * front, with a warning.
 */
export interface SystemMessage {
  role: 'system'
  content: string
}

/** The user's words, with pictures and files among them. */
export interface UserMessage {
  role: 'user'
  content: string | readonly (TextPart | ImagePart | FilePart)[]
}

/** A message of the model. `response.message` is one with all its parts. */
export interface AssistantMessage {
  role: 'assistant'
  content: string | readonly AssistantPart[]
  /** A shorthand: these calls are added behind `content`. */
  toolCalls?: readonly ToolCall[]
}

/** Results of tools: a list of parts, or a shorthand for a single result, whose `content` is the result. */
export type ToolMessage =
  | { role: 'tool'; content: readonly ToolResultPart[] }
  | { role: 'tool'; toolCallId: string; content: unknown; name?: string; isError?: boolean }

/** The parts of an assistant message. */
export type AssistantPart = TextPart | ReasoningPart | ToolCallPart

/** One message of a conversation, told apart by `role`. */
export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage

/** The input of a call: a string (one user message), a message, or a conversation, oldest message first. */
export type Prompt = string | Message | readonly Message[]

/** A tool that the model may call. */
export interface ToolDefinition<Name extends string = string> {
  /** The name that the model calls the tool by. Vendors allow letters, digits, `_` and `-`. */
  name: Name
  /** The purpose of the tool, and when to use it. The model reads this. */
  description?: string
  /** JSON Schema of the arguments, whose type is `object`. @default an object without properties */
  parameters?: Record<string, unknown>
  /** Asks the vendor to hold the arguments to the schema. Only OpenAI and Cohere can. @default the vendor's */
  strict?: boolean
}

/**
 * `auto`: the model may call tools. `none`: it must not. `required`: it must call one. `{ name }`: it must call this
 * one.
 * @default 'auto'
 */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string }

/** How hard the model thinks. Each provider maps the word to the nearest one that its vendor has. */
export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'

/**
 * Whether and how much the model thinks before it answers: `true` (as much as the vendor's own default), `false` (not
 * at all), an effort word, or a budget of `maxTokens` for vendors that take one.
 */
export type ReasoningOption = boolean | ReasoningEffort | { effort?: ReasoningEffort; maxTokens?: number }

/**
 * Why a response ended. `stop`: it is complete. `length`: it reached `maxTokens`. `tool-calls`: the model waits for the
 * results of tools. `content-filter`: the vendor cut it off. `cancelled` and `error` occur only in `error.partial`.
 * `other`: a reason that only `rawFinishReason` names.
 */
export type FinishReason =
  'stop' | 'length' | 'tool-calls' | 'content-filter' | 'cancelled' | 'error' | 'other'

/** Tokens that a call used, counted by the same rules on every vendor. */
export interface Usage {
  /** All input, read from a cache or not. */
  inputTokens: number
  /** All output, reasoning included. */
  outputTokens: number
  /** `inputTokens` and `outputTokens` together. */
  totalTokens: number
  /** The part of `inputTokens` that came from the vendor's cache. Absent when the vendor does not say. */
  cachedInputTokens?: number
  /** The part of `inputTokens` that was written to the vendor's cache. Only from Anthropic. */
  cacheWriteInputTokens?: number
  /** The part of `outputTokens` that was spent on reasoning. Absent when the vendor does not say. */
  reasoningTokens?: number
  /**
   * `provider`: the vendor's own counts. `estimated`: the vendor had not reported them yet (after a cancel or a cut
   * stream); such figures are within about a fifth.
   */
  source: 'provider' | 'estimated'
}

/** A note that a request was changed, or that something went wrong without failing the call. */
export interface Warning {
  /** `unsupported-option`: this vendor lacks the option, which was left out. `changed`: a value was adapted. */
  type: 'unsupported-option' | 'changed' | 'other'
  /** The option or the part that the warning is about, such as `topK`. */
  subject?: string
  /** The event, in a sentence. */
  message: string
}

/** How long a call took, in milliseconds from its start; the wait for a free slot is included. */
export interface Timing {
  /** Until the first content; until the whole response for a call that did not stream. */
  firstChunkMs: number
  /** Until the end. */
  totalMs: number
  /** Requests that were sent, retries included. */
  attempts: number
}

/** The kind of failure of an error: the same code for the same cause on every vendor. */
export type ErrorCode =
  /** An option, a name or an environment variable is wrong or missing. The message has the remedy. */
  | 'configuration'
  /** A package that this feature needs is not installed or cannot be loaded. */
  | 'missing_dependency'
  /** This Node is too old for the library, or for its SQLite store. */
  | 'unsupported_runtime'
  /** The vendor did not accept the API key (401). */
  | 'authentication'
  /** The API key may not do this (403). */
  | 'permission'
  /** The vendor does not know the model (404). */
  | 'model_not_found'
  /** The vendor, or convoke before anything was sent, refused the request. */
  | 'invalid_request'
  /** The prompt is longer than the model can read. */
  | 'context_length_exceeded'
  /** The vendor's content filter stopped the prompt or the reply. */
  | 'content_filtered'
  /** Too many requests or tokens (429). Retried. */
  | 'rate_limited'
  /** The vendor is busy (503, 529). Retried. */
  | 'overloaded'
  /** The vendor failed (any other 5xx, also in the middle of a stream). Retried. */
  | 'server_error'
  /** No connection, or it broke before the answer began. Retried. */
  | 'connection'
  /** A clock ran out; `phase` says which. Retried, except for the phase `total`. */
  | 'timeout'
  /** The connection closed before the vendor's end of the reply. Retried. */
  | 'stream_truncated'
  /** The vendor sent something that is not its protocol, or that exceeds a limit of size. */
  | 'malformed_response'
  /** The caller ended the call. */
  | 'cancelled'
  /** More calls wait than `maxQueue` allows. */
  | 'queue_full'
  /** `circuitBreaker` sent nothing, because the vendor kept failing. */
  | 'circuit_open'
  /** A limit that the caller set, such as `maxChunks`, was reached. */
  | 'budget_exceeded'
  /** The reply does not fit the schema, or is no answer to the question of a consensus. */
  | 'invalid_output'
  /** A tool threw. */
  | 'tool_failed'
  /** A blocking call is not possible here. The message says what to do instead. */
  | 'blocking_unavailable'
  /** Another turn of the session is running. */
  | 'session_busy'
  /** The store has no such session: it was deleted, or never made. */
  | 'session_not_found'
  /** The store's disk is full. */
  | 'store_full'
  /** The store's file is damaged, or is no store. */
  | 'store_corrupt'
  /** Another process keeps the store's file locked. */
  | 'store_locked'
  /** The store failed in another way. */
  | 'store_failed'
  /** Worker threads kept dying over the same work. */
  | 'worker_lost'

/**
 * An attempt of a combined LLM's member whose reply was not used: a hedge that lost the race, or a member of a fallback
 * that failed.
 */
export interface OtherAttempt {
  /** The provider that was asked. */
  provider: string
  /** The model that was asked. */
  model: string
  /** Why it gave no reply: its error's code, which is `cancelled` for one that lost a race. */
  code: ErrorCode
  /** Tokens that it used all the same, estimated. */
  usage: Usage
  /** US dollars. Absent when the model's price is not known. */
  costUsd?: number
  /** Requests that it sent. */
  attempts: number
}

/** A whole response; in `error.partial`, as much of it as had arrived. */
export interface GenerateResponse<Output = unknown> {
  /** The visible text; '' when there is none. */
  content: string
  /** The model's thinking as text. Absent when there is none, or when the vendor withholds it. */
  reasoning?: string
  /** The model's refusal, in its own words. Only from vendors that mark refusals (OpenAI). */
  refusal?: string
  /** Tool calls in the model's order; empty when there are none. */
  toolCalls: ToolCall[]
  /** The validated value. Absent without a `schema`, and when the model called tools instead of answering. */
  output?: Output
  /** Why the reply ended. */
  finishReason: FinishReason
  /** The vendor's own word for the finish reason. */
  rawFinishReason?: string
  /** Tokens of this reply; those of `otherAttempts` are not included. */
  usage: Usage
  /** US dollars for `usage`. Absent when the model's price is not known. */
  costUsd?: number
  /** The name of the provider that answered. */
  provider: string
  /** The model that ran, as the vendor names it; the model of the request when the vendor does not say. */
  model: string
  /** The vendor's id of the response; '' when it gives none. */
  id: string
  /** How long the call took, and how many requests it sent. */
  timing: Timing
  /** Notes on what was left out, changed or skipped; usually empty. */
  warnings: Warning[]
  /**
   * The attempts of a combined LLM whose replies were not used, oldest first. The whole call cost the sum of their
   * usage and the usage of this response. Absent when there were none.
   */
  otherAttempts?: OtherAttempt[]
  /**
   * True when `cached` took the response from its store. `costUsd` is then 0; `usage` is what the original call used.
   */
  fromCache?: true
  /** This response as a message to send back, with its reasoning, signatures and tool calls in order. */
  message: AssistantMessage & { content: AssistantPart[] }
  /**
   * The vendor's own object: the body of a plain call; the last event of a stream that held more than a piece of text.
   */
  raw: unknown
}

/** A whole reply to a call that had a schema and no tools: `output` is always there. */
export interface StructuredResponse<Output> extends GenerateResponse<Output> {
  /** The validated value. */
  output: Output
}

/** The vendor has begun to answer. The first chunk of a stream, and of each attempt after a `reset`. */
export interface StartChunk {
  type: 'start'
  content: ''
  /** The vendor's id of the response. */
  id?: string
  /** The model that runs, as the vendor names it. */
  model?: string
}

/** A piece of the visible text. */
export interface TextChunk {
  type: 'text'
  content: string
  /** See `TextPart`. */
  signature?: string
}

/** A piece of the model's thinking. */
export interface ReasoningChunk {
  type: 'reasoning'
  content: ''
  /** A piece of the thinking, to be appended to the pieces before it. */
  reasoning: string
  /** See `ReasoningPart`. The chunk that carries it ends the reasoning part. */
  signature?: string
  /** See `ReasoningPart`. */
  redacted?: boolean
  /** See `ReasoningPart`. */
  id?: string
}

/** A piece of the model's refusal. */
export interface RefusalChunk {
  type: 'refusal'
  content: ''
  /** A piece of the refusal, to be appended to the pieces before it. */
  refusal: string
}

/** The model begins to call a tool. Its arguments follow. */
export interface ToolCallStartChunk {
  type: 'tool-call-start'
  content: ''
  /** The call's id, also in its deltas and in the whole call. */
  id: string
  /** The tool's name. */
  name: string
}

/** A piece of a tool call's arguments. */
export interface ToolCallDeltaChunk {
  type: 'tool-call-delta'
  content: ''
  /** The id of the call, as in its `tool-call-start` chunk. */
  id: string
  /** A piece of JSON text. Parse nothing before the `tool-call` chunk. */
  argumentsDelta: string
}

/** A whole tool call, with its arguments parsed. */
export interface ToolCallChunk {
  type: 'tool-call'
  content: ''
  /** The call. */
  toolCall: ToolCall
}

/** A tool's result, in a run that calls tools itself. */
export interface ToolResultChunk {
  type: 'tool-result'
  content: ''
  /** The result. */
  toolResult: ToolResultPart
}

/** Discard all earlier chunks: the reply begins again. Occurs only with `replay: 'restart'`. */
export interface ResetChunk {
  type: 'reset'
  content: ''
  /** The number of the attempt that begins, from 2. It stays the same when the vendor itself began again. */
  attempt: number
  /** Why the earlier chunks are void: a ConvokeError. */
  error: Error
}

/** The reply is complete. The last chunk of a stream that does not fail. */
export interface FinishChunk {
  type: 'finish'
  content: ''
  /** Why the reply ended. */
  finishReason: FinishReason
  /** The vendor's own word for the finish reason. */
  rawFinishReason?: string
  /** The tokens of the reply. */
  usage: Usage
  /** See `GenerateResponse`. */
  raw?: unknown
}

/**
 * One step of a stream, told apart by `type`. The `content` of all chunks (from the last `reset` on), joined, is
 * `response.content`; chunks other than `text` have an empty one.
 */
export type StreamChunk =
  | StartChunk
  | TextChunk
  | ReasoningChunk
  | RefusalChunk
  | ToolCallStartChunk
  | ToolCallDeltaChunk
  | ToolCallChunk
  | ToolResultChunk
  | ResetChunk
  | FinishChunk

/** A model that a vendor offers. Fields other than `id` and `raw` are absent where the vendor does not say. */
export interface ModelInfo {
  /** The name to pass as `model`. */
  id: string
  /** A name for people. */
  name?: string
  /** Tokens of input and output together. */
  contextWindow?: number
  /** The most tokens of output. */
  maxOutputTokens?: number
  /** When the vendor made the model. */
  createdAt?: Date
  /** The size on disk. Only from Ollama. */
  sizeBytes?: number
  /** The vendor's own object. */
  raw: unknown
}

/** A step of `pullModel`. */
export interface PullProgress {
  /** Ollama's own words, such as `pulling manifest`. */
  status: string
  /** The layer that is downloading. Absent on steps without a download, as are the two sizes. */
  digest?: string
  /** The size of the layer. */
  totalBytes?: number
  /** How much of the layer has arrived. */
  completedBytes?: number
}
