/** The options of a call. Types only. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Message, ToolDefinition, ToolChoice, ReasoningOption } from '../types.ts'
import type { ModelName } from './known-models.ts'

/** Limits in milliseconds. The clocks start when the call leaves the queue. `Infinity` switches a limit off. */
export interface Timeouts {
  /** Until the socket is connected, TLS included. @default 10_000 */
  connectMs?: number
  /**
   * Until the first chunk of a stream that carries content. Queueing and prefill at the vendor may take minutes.
   * @default 120_000
   */
  firstChunkMs?: number
  /** Between two chunks of a stream, or two pieces of a body. @default 30_000 */
  idleMs?: number
  /** The whole call, with its retries and the waits between them. @default 600_000 */
  totalMs?: number
}

/** Retries after an attempt that failed. */
export interface RetryOptions {
  /** Requests in all, the first included; 1 switches retries off. @default 3 */
  attempts?: number
  /** The first back-off in milliseconds, before jitter. @default 1_000 */
  minDelayMs?: number
  /** The longest back-off in milliseconds. When a vendor asks for a longer wait, the call fails at once. @default 60_000 */
  maxDelayMs?: number
  /**
   * `before-output` retries only while nothing visible was delivered. `restart` retries after that too, with a `reset`
   * chunk before the new reply. `never` makes no retries. @default 'before-output'
   */
  replay?: 'before-output' | 'restart' | 'never'
}

/**
 * A vendor's quota. Attempts wait so that no 60 s hold more than this (a sliding window). An attempt counts when it begins,
 * and a retry is an attempt. On the network the distance between requests may shrink a little.
 */
export interface RateLimits {
  /** A whole number from 1. @default Infinity */
  requestsPerMinute?: number
  /**
   * Input and output together. An attempt reserves its estimated input and `maxTokens`; without `maxTokens` it reserves the
   * mean output of the LLM's last replies, at first 0. When it ends, its usage replaces the reservation, and tokens beyond
   * the reservation count from that moment. A request larger than the limit starts when the window holds no other tokens.
   * @default Infinity
   */
  tokensPerMinute?: number
}

/** When a failing vendor gets no more requests, and for how long. */
export interface CircuitBreakerOptions {
  /** Failed attempts in a row that open the circuit. @default 5 */
  failures?: number
  /** How long the circuit stays open before one request probes the vendor, in milliseconds. @default 30_000 */
  cooldownMs?: number
}

/** The settings of streams. */
export interface StreamConfig {
  /** Another name of `timeouts.totalMs`. */
  streamTimeoutMs?: number
  /** Another name of `timeouts.idleMs`. */
  chunkTimeoutMs?: number
  /** More chunks than this end the stream with `budget_exceeded`. @default Infinity */
  maxChunks?: number
  /**
   * When this many chunks, or 4 Mi characters, wait for the reader, the socket is not read until the reader takes some.
   * @default 100
   */
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
  /** The conversation so far. The prompt is appended to it. */
  messages?: readonly Message[]
  /**
   * How random the choice of each token is; 0 is the least, and the vendor sets the maximum (1 or 2). @default the
   * vendor's
   */
  temperature?: number
  /** The most tokens of output. They include reasoning where the vendor counts it as output. */
  maxTokens?: number
  /**
   * Only the most likely tokens are chosen from: those whose probabilities sum up to this, from 0 to 1. @default
   * the vendor's
   */
  topP?: number
  /** Only this many of the most likely tokens are chosen from. Not on OpenAI. @default the vendor's */
  topK?: number
  /** Makes tokens less likely the more often they occurred. @default the vendor's */
  frequencyPenalty?: number
  /** Makes tokens less likely once they have occurred. @default the vendor's */
  presencePenalty?: number
  /** Texts that end the reply. */
  stop?: string | readonly string[]
  /** Asks for the same reply to the same request, as far as the vendor can. @default none */
  seed?: number
  /** How much the model thinks before it answers. @default the vendor's */
  reasoning?: ReasoningOption
  /**
   * Tools that the model may call. convoke does not run them: the calls are in `response.toolCalls`. @default none
   */
  tools?: readonly ToolDefinition<Tool>[]
  /** Whether the model may, must or must not call a tool. @default 'auto' */
  toolChoice?: ToolChoice
  /**
   * The schema of the reply, from any library that implements Standard Schema and Standard JSON Schema (zod from 4.2, for
   * one). The vendor is asked to follow it, and `response.output` has the validated value. A reply that does not fit rejects
   * with `invalid_output`. A reply that calls tools has no output.
   */
  schema?: StandardSchemaV1<unknown, Output>
  /** Ends the call with `cancelled` when it is aborted, and closes the socket. */
  signal?: AbortSignal
  /** Labels for the vendor's dashboard, where it has one. */
  metadata?: Record<string, string>
  /** Limits of time. What is left out keeps the value of the LLM's defaults. */
  timeouts?: Timeouts
  /** Retries. What is left out keeps the value of the LLM's defaults. */
  retry?: RetryOptions
  /** Settings of the stream. What is left out keeps the value of the LLM's defaults. */
  streamConfig?: StreamConfig
  /** Further fields for the vendor's SDK, passed on as they are. They win over the fields that convoke maps. */
  vendor?: Record<string, unknown>
}

/** Options of a request that generates nothing: a list of models, say. */
export interface RequestOptions {
  /** Ends the request with `cancelled`. */
  signal?: AbortSignal
}

/** Options of a blocking call: those of any call, and whether it may block while calls of this thread are in flight. */
export type BlockingOptions<Options = GenerateOptions> = Options & {
  /**
   * `allow` blocks also while calls of this thread are in flight, or inside a callback of one. Those calls stand still
   * meanwhile. @default the call throws `blocking_unavailable` in that case
   */
  blocking?: 'allow'
}
