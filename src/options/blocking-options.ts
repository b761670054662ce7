/** The options of a blocking call. Types only. */
import type { GenerateOptions } from './generate-options.ts'

/** Options of a blocking call: those of any call, and whether it may block while calls of this thread are in flight. */
export type BlockingOptions<Options = GenerateOptions> = Options & {
  /**
   * `allow` blocks also while calls of this thread are in flight, or inside a callback of one. Those calls stand still
   * meanwhile. @default the call throws `blocking_unavailable` in that case
   */
  blocking?: 'allow'
}
