/** Makes the chunks that all event mappers have in common. */
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'

/**
 * The vendor is working on the reply and has nothing to show yet. A ping gives no such chunk, because it only shows
 * that the server is running.
 */
export const signOfLife: ProviderChunk = { type: 'text', content: '' }

/** The chunk that begins a reply. `id` and `model` are left out where the vendor did not send them. */
export function startChunk(id: unknown, model?: unknown): ProviderChunk {
  return {
    type: 'start',
    content: '',
    ...(typeof id === 'string' ? { id } : {}),
    ...(typeof model === 'string' && model ? { model } : {}),
  }
}

/**
 * The chunk that ends a reply.
 * @param rawFinishReason the vendor's own word; left out when empty
 * @param raw the vendor's own object
 */
export function finishChunk(
  finishReason: FinishReason,
  rawFinishReason: string | null | undefined,
  usage: ReportedUsage | undefined,
  raw: unknown,
): ProviderChunk {
  return {
    type: 'finish',
    content: '',
    finishReason,
    ...(rawFinishReason ? { rawFinishReason } : {}),
    ...(usage ? { usage } : {}),
    raw,
  }
}

/** Usage from a vendor's counts. A count that is not a number is left out, and estimated later. */
export function reportedUsage(counts: { [Name in keyof ReportedUsage]: unknown }): ReportedUsage {
  const known = Object.entries(counts).filter(([, count]) => typeof count === 'number')
  return Object.fromEntries(known) as ReportedUsage
}
