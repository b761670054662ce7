/** What a reply cost, by the price list of @pydantic/genai-prices, which is loaded with the first call. */
import type { Usage } from './types.ts'

/** The list's names of the providers that go by another name here. */
const listNames: Readonly<Record<string, string>> = { gemini: 'google', xai: 'x-ai' }
/** Servers of the user's own: nobody sends a bill. */
const free = new Set(['ollama', 'lmstudio', 'mlx', 'vllm', 'llamacpp'])

type CalcPrice = (typeof import('@pydantic/genai-prices'))['calcPrice']
let calcPrice: CalcPrice | undefined

export async function loadPrices(): Promise<void> {
  calcPrice ??= (await import('@pydantic/genai-prices')).calcPrice
}

/** US dollars; undefined while the list is not loaded, or for a model that it does not know. */
export function costUsd(provider: string, model: string, usage: Usage): number | undefined {
  if (free.has(provider) || !calcPrice) return undefined
  const counted = {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    ...(usage.cachedInputTokens ? { cache_read_tokens: usage.cachedInputTokens } : {}),
    ...(usage.cacheWriteInputTokens ? { cache_write_tokens: usage.cacheWriteInputTokens } : {}),
  }
  try {
    return calcPrice(counted, model, { providerId: listNames[provider] ?? provider })?.total_price
  } catch {
    // A price is a courtesy: a list that cannot count this usage must not cost the reply.
    return undefined
  }
}
