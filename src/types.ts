/** The words that users type: messages, options, responses and chunks. Types only; nothing here runs. */

/** Text that is visible to the reader. `signature` is the vendor's own proof of it (Gemini), to be sent back. */
export interface TextPart {
  type: 'text'
  text: string
  signature?: string
}

/**
 * A picture: a URL (`https:` or `data:`), base64 text, or the bytes.
 * A `https:` URL is passed on to vendors that load it themselves, and refused by those that do not.
 */
export interface ImagePart {
  type: 'image'
  image: string | URL | Uint8Array
  /** @default found from a data URL or from the first bytes, else `image/png` */
  mediaType?: string
}

/** A document or a sound: a URL (`https:` or `data:`), base64 text, or the bytes, with its media type. */
export interface FilePart {
  type: 'file'
  file: string | URL | Uint8Array
  /** Such as `application/pdf`, `text/plain` or `audio/wav`. */
  mediaType: string
  name?: string
}

/**
 * What the model thought before it answered. Sent back, with its `signature`, to the provider that made it;
 * left out, with a warning, for another.
 */
export interface ReasoningPart {
  type: 'reasoning'
  text: string
  /** Opaque proof by the vendor: Anthropic's signature, Gemini's thoughtSignature, OpenAI's encrypted content. */
  signature?: string
  /** True where the vendor gave only `signature` and withheld the text. */
  redacted?: boolean
  /** The vendor's id of this item (OpenAI's Responses API). */
  id?: string
  /** Who made it. Set on every part of a response. */
  provider?: string
}

/** One call of a tool, its arguments parsed. Custom (free-form) tools of OpenAI give a string. */
export interface ToolCall {
  id: string
  name: string
  arguments: unknown
  /** Opaque proof by the vendor (Gemini's thoughtSignature), to be sent back with the call. */
  signature?: string
}

/** A tool call inside an assistant message. */
export interface ToolCallPart extends ToolCall {
  type: 'tool-call'
}

/** What a tool gave. `result` is text, or any JSON value, which is sent as JSON text. */
export interface ToolResultPart {
  type: 'tool-result'
  toolCallId: string
  /** The tool's name; vendors that match by name (Gemini, Ollama) need it. @default looked up by the id */
  name?: string
  result: unknown
  isError?: boolean
}

export interface SystemMessage {
  role: 'system'
  content: string
}
export interface UserMessage {
  role: 'user'
  content: string | readonly (TextPart | ImagePart | FilePart)[]
}
export interface AssistantMessage {
  role: 'assistant'
  content: string | readonly AssistantPart[]
  /** A shorthand for tool-call parts at the end of `content`. */
  toolCalls?: readonly ToolCall[]
}
/** Results of tools: parts, or the shorthand of one result by `toolCallId`. */
export type ToolMessage =
  | { role: 'tool'; content: readonly ToolResultPart[] }
  | { role: 'tool'; toolCallId: string; content: unknown; name?: string; isError?: boolean }

export type AssistantPart = TextPart | ReasoningPart | ToolCallPart
export type Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage
/** A string, one message, or a conversation. */
export type Prompt = string | Message | readonly Message[]

/** A tool that the model may call: its name, what it is for, and its input as JSON Schema (an object schema). */
export interface ToolDefinition<Name extends string = string> {
  name: Name
  description?: string
  /** JSON Schema of the arguments. @default an object without properties */
  parameters?: Record<string, unknown>
  /** Ask the vendor to hold the arguments to the schema, where it can (OpenAI, Cohere). */
  strict?: boolean
}

/** Whether the model may, must or must not call a tool, or which one it must call. @default 'auto' */
export type ToolChoice = 'auto' | 'none' | 'required' | { name: string }

export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'
/**
 * How much the model thinks before it answers: an effort word, `true` (the vendor's own default) or `false` (none),
 * or a budget in tokens for the vendors that take one.
 */
export type ReasoningOption = boolean | ReasoningEffort | { effort?: ReasoningEffort; maxTokens?: number }

/** Why a reply ended. `rawFinishReason` has the vendor's own word. */
export type FinishReason =
  'stop' | 'length' | 'tool-calls' | 'content-filter' | 'cancelled' | 'error' | 'other'

/**
 * Tokens. `inputTokens` counts all input, cached or not, and `outputTokens` all output, reasoning included, on every
 * vendor. `source` is `estimated` where the vendor had not said (a cancel, a cut stream): within about a fifth.
 */
export interface Usage {
  inputTokens: number
  outputTokens: number
  totalTokens: number
  /** Part of `inputTokens` that came from the vendor's cache. */
  cachedInputTokens?: number
  /** Part of `inputTokens` that was written to the vendor's cache (Anthropic). */
  cacheWriteInputTokens?: number
  /** Part of `outputTokens` spent on reasoning. */
  reasoningTokens?: number
  source: 'provider' | 'estimated'
}

/** Something the call went without, in words: an option that this vendor does not have, say. */
export interface Warning {
  type: 'unsupported-option' | 'changed' | 'other'
  /** The option or part it is about. */
  subject?: string
  message: string
}

export interface Timing {
  /** From the call to the first content; of a plain call, to the whole reply. */
  firstChunkMs: number
  totalMs: number
  /** Requests sent, retries included. */
  attempts: number
}

/** What went wrong: the same code for the same cause on every vendor. */
export type ErrorCode =
  | 'configuration'
  | 'missing_dependency'
  | 'unsupported_runtime'
  | 'authentication'
  | 'permission'
  | 'model_not_found'
  | 'invalid_request'
  | 'context_length_exceeded'
  | 'content_filtered'
  | 'rate_limited'
  | 'overloaded'
  | 'server_error'
  | 'connection'
  | 'timeout'
  | 'stream_truncated'
  | 'malformed_response'
  | 'cancelled'
  | 'queue_full'
  | 'circuit_open'
  | 'budget_exceeded'
  | 'invalid_output'
  | 'tool_failed'
  | 'blocking_unavailable'
  | 'session_busy'
  | 'session_not_found'
  | 'store_full'
  | 'store_corrupt'
  | 'store_locked'
  | 'store_failed'
  | 'worker_lost'

/**
 * What one member of a combined LLM spent on a call that another one answered, or none: a hedge that lost, a fallback's
 * member that failed before.
 */
export interface OtherAttempt {
  provider: string
  model: string
  /** Why it gave no reply: the code of its error; `cancelled` for one that lost a race. */
  code: ErrorCode
  /** What it cost all the same; estimated. */
  usage: Usage
  costUsd?: number
  /** Requests that it sent. */
  attempts: number
}

/** A whole reply. Of a failed call (`error.partial`), as much of it as had arrived. */
export interface GenerateResponse<Output = unknown> {
  /** The visible text. */
  content: string
  reasoning?: string
  refusal?: string
  toolCalls: ToolCall[]
  /** The validated value, when a schema was given. */
  output?: Output
  finishReason: FinishReason
  rawFinishReason?: string
  usage: Usage
  /** US dollars; absent until prices are known for the model. */
  costUsd?: number
  provider: string
  /** What the vendor says it ran; what was asked for where it does not say. */
  model: string
  /** The vendor's id of the reply, '' where it has none. */
  id: string
  timing: Timing
  warnings: Warning[]
  /**
   * Of a combined LLM: what its other members spent on this call, oldest first. `usage` and `costUsd` are those of the
   * reply alone: the call cost their sum with these. Absent where there is nothing to tell.
   */
  otherAttempts?: OtherAttempt[]
  /** Out of a cache (`cached`): `costUsd` is 0, `usage` what the reply took when it was made. */
  fromCache?: true
  /** This reply as a message to send back, with its reasoning, signatures and tool calls in order. */
  message: AssistantMessage & { content: AssistantPart[] }
  /** The vendor's own object: the body of a plain call, the last event of a stream that was more than a piece of text. */
  raw: unknown
}

/** A whole reply to a call that had a schema and no tools: `output` is always there. */
export interface StructuredResponse<Output> extends GenerateResponse<Output> {
  /** The validated value. */
  output: Output
}

export interface StartChunk {
  type: 'start'
  content: ''
  id?: string
  model?: string
}
export interface TextChunk {
  type: 'text'
  content: string
  signature?: string
}
export interface ReasoningChunk {
  type: 'reasoning'
  content: ''
  reasoning: string
  /** Ends the current reasoning part. */
  signature?: string
  redacted?: boolean
  id?: string
}
export interface RefusalChunk {
  type: 'refusal'
  content: ''
  refusal: string
}
export interface ToolCallStartChunk {
  type: 'tool-call-start'
  content: ''
  id: string
  name: string
}
export interface ToolCallDeltaChunk {
  type: 'tool-call-delta'
  content: ''
  id: string
  /** A piece of the arguments' JSON text. */
  argumentsDelta: string
}
export interface ToolCallChunk {
  type: 'tool-call'
  content: ''
  toolCall: ToolCall
}
/** What a tool gave, in a run that calls tools itself. */
export interface ToolResultChunk {
  type: 'tool-result'
  content: ''
  toolResult: ToolResultPart
}
/** Only under `replay: 'restart'`: discard what came before. */
export interface ResetChunk {
  type: 'reset'
  content: ''
  /** The attempt that begins, from 2; the same as before where the vendor itself began anew. */
  attempt: number
  /** Why what came before is void: a ConvokeError. */
  error: Error
}
export interface FinishChunk {
  type: 'finish'
  content: ''
  finishReason: FinishReason
  rawFinishReason?: string
  usage: Usage
  raw?: unknown
}

/**
 * One step of a stream, told apart by `type`. The concatenation of `content` over a stream (from the last `reset` on)
 * is `response.content`.
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

/** A model that a vendor offers. */
export interface ModelInfo {
  id: string
  name?: string
  /** Tokens of input and output together, where the vendor says. */
  contextWindow?: number
  maxOutputTokens?: number
  createdAt?: Date
  /** Size on disk (Ollama). */
  sizeBytes?: number
  /** The vendor's own object. */
  raw: unknown
}

/** A step of `pullModel`. */
export interface PullProgress {
  status: string
  /** The layer that is being loaded. */
  digest?: string
  totalBytes?: number
  completedBytes?: number
}
