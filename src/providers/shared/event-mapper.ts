/** The contract of a vendor's event mapping. */
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import type { Fields } from './fields.ts'
import type { FinishReason } from '../../types.ts'

/** Maps the events of one reply to chunks. Each reply needs a mapper of its own. */
export interface EventMapper {
  /**
   * Matches an event that holds one piece of text without escapes and nothing else; the text is the only group.
   * Such an event is not parsed as JSON, because parsing is half the cost of a chunk.
   */
  readonly plainText?: RegExp | undefined
  /** The chunks of one event. The vendor's terminal event gives the finish chunk. */
  event(body: Fields, raw: unknown): readonly ProviderChunk[]
  /** Handles the text `[DONE]`, which OpenAI and compatible servers send at the end of a stream. */
  done?(): readonly ProviderChunk[]
  /** The chunks of a whole reply. Some servers send one although a stream was requested. */
  whole?(body: Fields, raw: unknown): readonly ProviderChunk[]
  /**
   * Handles the end of the connection. Gives the finish chunk for a vendor that has no terminal event.
   * @param isCut whether the connection ended inside an event
   * @throws ConvokeError `stream_truncated` when the vendor's terminal event did not come
   */
  end(isCut: boolean): readonly ProviderChunk[]
}

/** An event mapper that also maps whole replies. */
export type ReplyMapper = EventMapper & Required<Pick<EventMapper, 'whole'>>

/** The provider and the model that an error about a reply names. */
export interface ReplyLabels {
  provider: string
  model: string
}

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
