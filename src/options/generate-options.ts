/** The options of a call. Types alone. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Message, ToolDefinition, ToolChoice, ReasoningOption } from '../types.ts'
import type { ModelName } from './known-models.ts'

/** Limits in milliseconds. The clocks start when the call leaves the queue. `Infinity` switches one off. */
export interface Timeouts {
  /** Until the socket is connected, TLS included. @default 10_000 */
  connectMs?: number
  /** Until the first chunk of a stream that carries content; queueing and prefill take minutes. @default 120_000 */
  firstChunkMs?: number
  /** Between two chunks of a stream, or two pieces of a body. @default 30_000 */
  idleMs?: number
  /** The whole call, with its retries and the waits between them. @default 600_000 */
  totalMs?: number
}

/** What happens when an attempt fails and another may be made. */
export interface RetryOptions {
  /** Requests in all, the first included; 1 switches retries off. @default 3 */
  attempts?: number
  /** First back-off, before jitter. @default 1_000 */
  minDelayMs?: number
  /** Longest back-off. A vendor that asks for more makes the call fail at once. @default 60_000 */
  maxDelayMs?: number
  /**
   * `before-output`: only while nothing visible was delivered. `restart`: then too, after a `reset` chunk.
   * `never`: no retry at all. @default 'before-output'
   */
  replay?: 'before-output' | 'restart' | 'never'
}

/**
 * What a vendor's quota allows, kept by waiting: a sliding window, so that no 60 s hold more. Attempts count as they
 * begin, retries too. The way to the vendor may draw them a little nearer together.
 */
export interface RateLimits {
  /** A whole number. @default Infinity */
  requestsPerMinute?: number
  /**
   * Input and output. An attempt reserves its input, estimated, and `maxTokens`, or without that the mean output of the
   * LLM's last replies, at first 0; its end corrects that to the usage, and what it spent beyond counts from its end. A
   * request that is larger than the limit goes when no other is left in the window. @default Infinity
   */
  tokensPerMinute?: number
}

/** When a vendor that fails is left alone, and for how long. */
export interface CircuitBreakerOptions {
  /** Failed attempts in a row that open the circuit. @default 5 */
  failures?: number
  /** How long it stays open before one request probes the vendor, in milliseconds. @default 30_000 */
  cooldownMs?: number
}

/** The stream's own settings; the two time-outs are other names of `timeouts.totalMs` and `timeouts.idleMs`. */
export interface StreamConfig {
  streamTimeoutMs?: number
  chunkTimeoutMs?: number
  /** More chunks than this end the stream with `budget_exceeded`. @default Infinity */
  maxChunks?: number
  /** Chunks that may wait for the reader before the socket is no longer read; 4 Mi characters at most. @default 100 */
  bufferSize?: number
}

/**
 * Options of one call; also accepted by `createLLM` as defaults for all calls. `Output` is what `schema` makes of the
 * reply, and `Tool` the names of `tools`: the compiler finds both, and types the response by them.
 */
export interface GenerateOptions<Output = unknown, Tool extends string = string> {
  /** @default the model that the LLM was made with */
  model?: ModelName
  /** The system prompt; it stands before any system message of the prompt. */
  system?: string
  /** Conversation so far; the prompt is appended to it. */
  messages?: readonly Message[]
  temperature?: number
  /** Most tokens of output, reasoning included where the vendor counts it so. */
  maxTokens?: number
  topP?: number
  topK?: number
  frequencyPenalty?: number
  presencePenalty?: number
  /** Texts that end the reply. */
  stop?: string | readonly string[]
  seed?: number
  reasoning?: ReasoningOption
  tools?: readonly ToolDefinition<Tool>[]
  toolChoice?: ToolChoice
  /**
   * What the reply must be, as a schema of any library that implements Standard Schema and Standard JSON Schema (zod 4.2
   * and newer among them). The vendor is asked for it, and `response.output` has the validated value; a reply that does
   * not fit is `invalid_output`. A reply that calls tools has none.
   */
  schema?: StandardSchemaV1<unknown, Output>
  signal?: AbortSignal
  /** Labels for the vendor's dashboard, where it has one. */
  metadata?: Record<string, string>
  timeouts?: Timeouts
  retry?: RetryOptions
  streamConfig?: StreamConfig
  /** Passed to the vendor's SDK untouched; wins over the mapped fields. */
  vendor?: Record<string, unknown>
}
