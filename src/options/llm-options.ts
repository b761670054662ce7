/** The options of createLLM. Types alone. */
import type { CircuitBreakerOptions, GenerateOptions, RateLimits } from './generate-options.ts'

/** A key, keys used in turn, or a function that gives one (asked before every request). */
export type ApiKey = string | readonly string[] | (() => string | Promise<string>)

/** Options of `createLLM`: how to reach the vendor, limits, and defaults for every option of a call. */
export interface LLMOptions<Output = unknown, Tool extends string = string> extends GenerateOptions<
  Output,
  Tool
> {
  /** @default the vendor's customary environment variable */
  apiKey?: ApiKey
  /** Where the vendor answers, with the path that its SDK expects. @default the vendor's own */
  baseURL?: string
  headers?: Record<string, string>
  /** Sends the requests instead of convoke's own transport. */
  fetch?: typeof globalThis.fetch
  /**
   * The HTTP proxy on the way to the vendor, such as `http://user:password@proxy.example:3128`, or `false` for none.
   * @default that of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; none on the way to this machine itself
   */
  proxy?: string | false
  /** OpenAI: which API answers. @default 'chat' */
  api?: 'chat' | 'responses'
  /** Calls in flight at once. @default 10 */
  maxConcurrent?: number
  /** Calls that may wait for a slot before `queue_full`. @default 1_000 */
  maxQueue?: number
  /**
   * At most so many requests and tokens in any 60 s; attempts beyond that wait, in order, in their slot. The time-outs of
   * a call begin behind its first wait, and its signal ends it. Lists of models do not count. @default no limit
   */
  rateLimit?: RateLimits
  /**
   * Sends nothing for `cooldownMs` after so many attempts in a row failed by the vendor's fault (`connection`,
   * `timeout` but that of `totalMs`, `overloaded`, `server_error`, `stream_truncated`, `malformed_response`): they end
   * at once with `circuit_open`. Then one request probes; its success, or any answer but a failure, closes the
   * circuit. `true` takes the defaults. @default false
   */
  circuitBreaker?: boolean | CircuitBreakerOptions
  /** Longest line, and longest event, of a stream before `malformed_response`; counted in UTF-16 units. @default 8 MiB */
  maxLineBytes?: number
  /**
   * Longest reply, in bytes after decompression, before `malformed_response`.
   * @default 64 MiB for a plain reply, which is held as a whole, 256 MiB for a stream
   */
  maxResponseBytes?: number
  /** What errors and responses call the provider. @default the provider's name */
  name?: string
  /** For every `generate()`, as its own option. */
  blocking?: 'allow'
}
