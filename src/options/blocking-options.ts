/**
 * The options of a blocking call. Types alone.
 *
 * Room `options`: the options of calls and of createLLM: their rules, their defaults, and how they are merged.
 * Imported by `blocking`, `combinators`, `consensus`, `fan-out`, `index`, `llm`, `policies`, `providers`, `request`,
 * `session`, `threads`.
 */
import type { GenerateOptions } from './generate-options.ts'

/** Options of a blocking call: those of any call, and whether it may block while calls of this thread are in flight. */
export type BlockingOptions<Options = GenerateOptions> = Options & {
  /**
   * `allow` blocks although calls of this thread are in flight, or one has called back: they stand still meanwhile.
   * @default `blocking_unavailable` is thrown then
   */
  blocking?: 'allow'
}
