/** Merges a call's options over an LLM's defaults. */
import type { GenerateOptions, Timeouts } from './generate-options.ts'

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
