/** The contract of a vendor's event mapping. */
import type { ProviderChunk } from '../../provider.ts'
import type { Fields } from './fields.ts'

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
