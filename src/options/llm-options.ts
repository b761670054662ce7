/** The options of createLLM. Types only. */
import type { CircuitBreakerOptions, GenerateOptions, RateLimits } from './generate-options.ts'

/** A key, several keys that are used in turn, or a function that is called for a key before every request. */
export type ApiKey = string | readonly string[] | (() => string | Promise<string>)

/** Options of `createLLM`: how to reach the vendor, limits, and defaults for every option of a call. */
export interface LLMOptions<Output = unknown, Tool extends string = string> extends GenerateOptions<
  Output,
  Tool
> {
  /** @default the vendor's customary environment variable */
  apiKey?: ApiKey
  /** The vendor's address, with the path that its SDK expects. @default the vendor's own */
  baseURL?: string
  /** Headers to add to each request. @default none */
  headers?: Record<string, string>
  /** Sends the requests instead of convoke's own transport. */
  fetch?: typeof globalThis.fetch
  /**
   * The HTTP proxy for requests to the vendor, such as `http://user:password@proxy.example:3128`, or `false` for none.
   * @default the proxy of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; none for addresses of this machine
   */
  proxy?: string | false
  /** Which of OpenAI's APIs is called. @default 'chat' */
  api?: 'chat' | 'responses'
  /** Calls in flight at once. @default 10 */
  maxConcurrent?: number
  /** Calls that may wait for a slot before `queue_full`. @default 1_000 */
  maxQueue?: number
  /**
   * The most requests and tokens in any 60 s. Attempts beyond that wait in order, and keep their slot of `maxConcurrent`.
   * The time-outs of a call start after its first wait; its signal ends the wait. Lists of models do not count.
   * @default no limit
   */
  rateLimit?: RateLimits
  /**
   * After `failures` attempts in a row that failed through the vendor (`connection`, `timeout` except of `totalMs`,
   * `overloaded`, `server_error`, `stream_truncated`, `malformed_response`), the circuit is open: attempts fail at once with
   * `circuit_open`, and nothing is sent for `cooldownMs`. Then one request probes the vendor; any answer that is no such
   * failure closes the circuit. `true` takes the defaults. @default false
   */
  circuitBreaker?: boolean | CircuitBreakerOptions
  /** The longest line, and event, of a stream, in UTF-16 units. A longer one is `malformed_response`. @default 8 Mi */
  maxLineBytes?: number
  /**
   * The longest reply, in bytes after decompression. A longer one is `malformed_response`.
   * @default 64 MiB for a plain reply, which is held in memory as a whole, and 256 MiB for a stream
   */
  maxResponseBytes?: number
  /** The provider's name in errors and responses. @default the provider's own name */
  name?: string
  /** The default of the option `blocking` of every `generate()`. */
  blocking?: 'allow'
}
