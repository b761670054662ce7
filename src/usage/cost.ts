/** What a reply cost, and how much a model reads, by the list of @pydantic/genai-prices, loaded with the first call. */
import type { Usage } from '../types.ts'

/** The list's names of the providers that go by another name here. */
const listNames: Readonly<Record<string, string>> = { gemini: 'google', xai: 'x-ai' }
/** Servers of the user's own: nobody sends a bill. */
const free = new Set(['ollama', 'lmstudio', 'mlx', 'vllm', 'llamacpp'])

type Prices = typeof import('@pydantic/genai-prices')
type ListProvider = NonNullable<ReturnType<Prices['calcPrice']>>['provider']

let calcPrice: Prices['calcPrice'] | undefined

/** The list's entry by provider and model, `null` where there is none: a look-up takes dozens of patterns, 20 µs. */
const entries = new Map<string, ListProvider | null>()
/** A server that answers with a new model's name every time must not fill the memory. */
const maxEntries = 1_000

export async function loadPrices(): Promise<void> {
  calcPrice ??= (await import('@pydantic/genai-prices')).calcPrice
}

/** US dollars; undefined while the list is not loaded, or for a model that it does not know. */
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
    // A price is a courtesy: a list that cannot count this usage must not cost the reply.
    return undefined
  }
}

/** Tokens that a model takes in all; undefined where the list does not say. */
export async function contextWindow(provider: string, model: string): Promise<number | undefined> {
  await loadPrices()
  try {
    const nothing = { input_tokens: 0, output_tokens: 0 }
    return calcPrice?.(nothing, model, { providerId: listNames[provider] ?? provider })?.model.context_window
  } catch {
    return undefined
  }
}
