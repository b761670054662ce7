/** The settings of a call: its time-outs, retries and stream, with the defaults of what was left out. */
import type { GenerateOptions, RetryOptions, Timeouts } from './generate-options.ts'

export interface Settings {
  timeouts: Required<Timeouts>
  retry: Required<RetryOptions>
  stream: { maxChunks: number; bufferSize: number }
}

/** @param options merged: see `mergeOptions` */
export function settingsOf(options: GenerateOptions): Settings {
  return {
    timeouts: {
      connectMs: 10_000,
      firstChunkMs: 120_000,
      idleMs: 30_000,
      totalMs: 600_000,
      ...options.timeouts,
    },
    retry: { attempts: 3, minDelayMs: 1_000, maxDelayMs: 60_000, replay: 'before-output', ...options.retry },
    stream: {
      maxChunks: options.streamConfig?.maxChunks ?? Infinity,
      bufferSize: options.streamConfig?.bufferSize ?? 100,
    },
  }
}
