/** Sums of the usage of several calls. */
import type { Usage } from '../types.ts'

/** The usage of a call that sent nothing. */
export const noUsage: Usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'provider' }

/** The sum of the known values; undefined when none is known. */
export function sumKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length ? known.reduce((sum, value) => sum + value, 0) : undefined
}

/** Fields that vendors may leave out; the sum has those that any part has. */
const optionalFields = ['cachedInputTokens', 'cacheWriteInputTokens', 'reasoningTokens'] as const

/** The sum of all usages. Its source is `estimated` when that of any part with tokens is. */
export function sumUsage(parts: readonly (Usage | undefined)[]): Usage {
  const known = parts.filter((part) => part !== undefined)
  const sum = (name: Exclude<keyof Usage, 'source'>) => sumKnown(known.map((part) => part[name])) ?? 0
  const isEstimated = known.some(({ source, totalTokens }) => source === 'estimated' && totalTokens > 0)
  return {
    inputTokens: sum('inputTokens'),
    outputTokens: sum('outputTokens'),
    totalTokens: sum('totalTokens'),
    ...Object.fromEntries(
      optionalFields
        .filter((name) => known.some((part) => part[name] !== undefined))
        .map((name) => [name, sum(name)]),
    ),
    source: isEstimated ? 'estimated' : 'provider',
  }
}
