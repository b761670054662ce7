/** Sums of what calls took. */
import type { Usage } from '../types.ts'

export const noUsage: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'provider' }

/** Of those that are known; nothing where none is. */
export function sumUsage(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length ? known.reduce((sum, value) => sum + value, 0) : undefined
}

const detailed = ['cachedInputTokens', 'cacheWriteInputTokens', 'reasoningTokens'] as const

/** All together; `estimated` where a part of it is. */
export function usageOf(parts: readonly (Usage | undefined)[]): Usage {
  const known = parts.filter((part) => part !== undefined)
  const sum = (name: Exclude<keyof Usage, 'source'>) => sumUsage(known.map((part) => part[name])) ?? 0
  const isEstimated = known.some(({ source, totalTokens }) => source === 'estimated' && totalTokens > 0)
  return {
    inputTokens: sum('inputTokens'),
    outputTokens: sum('outputTokens'),
    totalTokens: sum('totalTokens'),
    ...Object.fromEntries(
      detailed
        .filter((name) => known.some((part) => part[name] !== undefined))
        .map((name) => [name, sum(name)]),
    ),
    source: isEstimated ? 'estimated' : 'provider',
  }
}
