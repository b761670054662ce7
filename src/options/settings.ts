/** The defaults of calls: the library's own, and those that an LLM was made with. */
import { llmRules } from './call-rules.ts'
import type { GenerateOptions, RetryOptions, Timeouts } from './generate-options.ts'
import type { LLMOptions } from './llm-options.ts'
import { mergeOptions } from './merge-options.ts'

/** The time-outs, retries and stream of a call, with the defaults of what was left out. */
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

/** The part of an LLM's options that its calls take by default. @param options checked */
export function callDefaults(options: LLMOptions): GenerateOptions {
  const defaults = Object.entries(options).filter(([name]) => !Object.hasOwn(llmRules, name))
  return mergeOptions({}, Object.fromEntries(defaults))
}

/** The defaults for a reply in plain text: without tools, a schema, stop texts and earlier messages. */
export function plainTextDefaults(defaults: GenerateOptions): GenerateOptions {
  const { tools: _tools, toolChoice: _choice, schema: _schema, ...rest } = defaults
  const { stop: _stop, messages: _messages, ...plain } = rest
  return plain
}
