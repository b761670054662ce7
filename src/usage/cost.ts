/**
 * Prices and context windows of models, from @pydantic/genai-prices, which is loaded with the first call.
 *
 * Room `usage`: sums of usage, and prices. Imported by `consensus`, `fan-out`, `llm`, `session`.
 */
import type { Usage } from '../types.ts'

/** Providers that the price list knows by another name. */
const listNames: Readonly<Record<string, string>> = { gemini: 'google', xai: 'x-ai' }
/** Servers that users run themselves; no price applies to them. */
const free = new Set(['ollama', 'lmstudio', 'mlx', 'vllm', 'llamacpp'])

type Prices = typeof import('@pydantic/genai-prices')
type ListProvider = NonNullable<ReturnType<Prices['calcPrice']>>['provider']

let calcPrice: Prices['calcPrice'] | undefined

/**
 * Found entries of the list by provider and model; `null`: the list has none. A search tries dozens of patterns: 20 µs.
 */
const entries = new Map<string, ListProvider | null>()
/** Bounds the cache: a server may answer with a new model name every time. */
const maxEntries = 1_000

/** Loads the price list once. `costUsd` knows no prices before. */
export async function loadPrices(): Promise<void> {
  calcPrice ??= (await import('@pydantic/genai-prices')).calcPrice
}

/**
 * The price of some usage in US dollars. Undefined before `loadPrices`, for a model that the list does not know, and
 * for servers that users run themselves.
 */
export function costUsd(provider: string, model: string, usage: Usage): number | undefined {
  if (free.has(provider) || !calcPrice) return undefined
  const key = `${provider} ${model}`
  const entry = entries.get(key)
  if (entry === null) return undefined
  const counted = {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    ...(usage.cachedInputTokens ? { cache_read_tokens: usage.cachedInputTokens } : {}),
    ...(usage.cacheWriteInputTokens ? { cache_write_tokens: usage.cacheWriteInputTokens } : {}),
  }
  try {
    const where = entry ? { provider: entry } : { providerId: listNames[provider] ?? provider }
    const price = calcPrice(counted, model, where)
    if (!entry) {
      if (entries.size >= maxEntries) entries.clear()
      entries.set(key, price && { ...price.provider, models: [price.model] })
    }
    return price?.total_price
  } catch {
    // The list cannot price this usage. A missing price must not fail the call.
    return undefined
  }
}

/** The most tokens that a model reads and writes together; undefined when the list does not say. */
export async function contextWindow(provider: string, model: string): Promise<number | undefined> {
  await loadPrices()
  try {
    const nothing = { input_tokens: 0, output_tokens: 0 }
    return calcPrice?.(nothing, model, { providerId: listNames[provider] ?? provider })?.model.context_window
  } catch {
    return undefined
  }
}
