/** The defaults of calls: the library's own, and those that an LLM was made with. */
import { llmRules } from './call-rules.ts'
import type { GenerateOptions, RetryOptions, Timeouts } from './generate-options.ts'
import type { LLMOptions } from './llm-options.ts'

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

/**
 * Options over other options. Groups (`timeouts`, `retry`, …) are merged name by name; an option that is undefined
 * leaves the one below it alone.
 * @param base what an earlier merge gave
 */
export function mergeOptions(base: GenerateOptions, options: GenerateOptions): GenerateOptions {
  const over = normalized(options)
  const merged: GenerateOptions = { ...base, ...over }
  for (const name of ['timeouts', 'retry', 'streamConfig', 'vendor', 'metadata'] as const) {
    if (base[name] && over[name]) Object.assign(merged, { [name]: { ...base[name], ...over[name] } })
  }
  return merged
}

/** The options without undefined entries, and with the two time-outs of `streamConfig` moved to `timeouts`. */
function normalized(options: GenerateOptions): GenerateOptions {
  const { timeouts, retry, streamConfig, ...rest } = options
  const { streamTimeoutMs: totalMs, chunkTimeoutMs: idleMs, ...stream } = streamConfig ?? {}
  const limits = defined({ totalMs, idleMs, ...defined(timeouts ?? {}) }) as Timeouts
  return defined({
    ...rest,
    ...(Object.keys(limits).length ? { timeouts: limits } : {}),
    ...(retry ? { retry: defined(retry) } : {}),
    ...(streamConfig ? { streamConfig: defined(stream) } : {}),
  })
}

function defined<T extends object>(value: T): T {
  if (!Object.values(value).includes(undefined)) return value
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T
}
