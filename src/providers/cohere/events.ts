/**
 * Maps the events and the whole replies of Cohere's Chat API, version 2, to chunks.
 *
 * Room `providers/cohere`: Cohere's client, requests and events. Imported by `providers`.
 */
import { ConvokeError } from '../../errors.ts'
import { readVendorError, embeddedError } from '../../transport/read-vendor-error.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { finishChunk, reportedUsage, signOfLife, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { Fields } from '../shared/fields.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import type { FunctionCallFields } from '../shared/tool-calls.ts'

interface Content {
  text?: string | null
  thinking?: string | null
}

interface MessageFields {
  content?: string | Content | Content[] | null
  tool_calls?: FunctionCallFields | FunctionCallFields[] | null
}

interface EndFields {
  finish_reason?: string | null
  error?: string | null
  usage?: unknown
}

export class CohereEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids control characters inside a string
    /^\{"type":"content-delta","index":\d+,"delta":\{"message":\{"content":\{"text":"([^"\\\u0000-\u001f]+)"\}\}\}\}$/
  readonly #labels: ReplyLabels
  readonly #calls: ToolCalls

  constructor(labels: ReplyLabels) {
    this.#labels = labels
    this.#calls = new ToolCalls(labels.provider)
  }

  event(body: Fields, raw: unknown): readonly ProviderChunk[] {
    const delta = (body['delta'] ?? {}) as EndFields & { message?: MessageFields | null }
    const message = delta.message ?? {}
    const index = typeof body['index'] === 'number' ? body['index'] : undefined
    switch (body['type']) {
      case 'message-start':
        return [startChunk(body['id'])]
      case 'content-start':
      case 'content-delta':
        return orSignOfLife(contentChunks(message.content))
      case 'tool-call-start':
      case 'tool-call-delta':
        return orSignOfLife(asList(message.tool_calls).flatMap((call) => this.#call(call, index)))
      case 'tool-call-end':
        return orSignOfLife(this.#calls.complete({ index }))
      case 'message-end':
        return this.#finishChunks(((raw as Fields)['delta'] ?? {}) as EndFields, raw)
      case undefined:
        // The body of an error, without the frame of an event.
        if (typeof body['message'] === 'string') throw this.#failure(raw)
        return []
      // Progress without content: the plan, citations, and the end of a block.
      case 'content-end':
      case 'tool-plan-delta':
      case 'citation-start':
      case 'citation-end':
        return [signOfLife]
      default:
        // Pings are no sign of life.
        return []
    }
  }

  /** `[DONE]` may follow the terminal event, but it is no terminal event itself. */
  done(): never {
    return this.end()
  }

  end(): never {
    throw this.#error('stream_truncated', 'The stream ended without its terminal event message-end.')
  }

  whole(body: Fields, raw: unknown): ProviderChunk[] {
    const message = body['message'] as MessageFields | string | null | undefined
    if (typeof message === 'string') throw this.#failure(raw)
    if (!message) throw this.#error('malformed_response', 'The reply has no message.')
    return [
      startChunk(body['id']),
      ...contentChunks(message.content),
      ...asList(message.tool_calls).flatMap((call) => this.#call(call)),
      ...this.#finishChunks(raw as EndFields, raw),
    ]
  }

  #call({ id, function: call }: FunctionCallFields, index?: number): ProviderChunk[] {
    return this.#calls.delta({ id, index, name: call?.name, arguments: call?.arguments })
  }

  /** @param end a part of `raw`, which holds no key, so that an error may quote its words */
  #finishChunks({ finish_reason: reason, error, usage }: EndFields, raw: unknown): ProviderChunk[] {
    const kind = reason ? faultKinds[reason] : undefined
    if (kind ?? error) {
      throw this.#failure(raw, kind ?? 'server_error', error || `The generation ended with ${reason}.`)
    }
    const calls = this.#calls.complete(undefined, reason ?? undefined, reason === 'MAX_TOKENS')
    const finishReason = reason ? finishReasonOf(reason) : this.#calls.size > 0 ? 'tool-calls' : 'stop'
    return [...calls, finishChunk(finishReason, reason, usageOf(usage), raw)]
  }

  /** The error that a vendor reports inside a reply. */
  #failure(raw: unknown, kind?: string, message?: string): ConvokeError {
    const fields = kind ? { kinds: [kind], message: message ?? '' } : readVendorError(raw)
    return embeddedError(fields, raw, this.#labels)
  }

  #error(code: 'malformed_response' | 'stream_truncated', message: string): ConvokeError {
    return new ConvokeError(code, message, this.#labels)
  }
}

function contentChunks(content: MessageFields['content']): ProviderChunk[] {
  if (typeof content === 'string') return content ? [{ type: 'text', content }] : []
  const chunks: ProviderChunk[] = []
  for (const { thinking, text } of asList(content)) {
    if (thinking) chunks.push({ type: 'reasoning', content: '', reasoning: thinking })
    if (text) chunks.push({ type: 'text', content: text })
  }
  return chunks
}

function orSignOfLife(chunks: ProviderChunk[]): readonly ProviderChunk[] {
  return chunks.length > 0 ? chunks : [signOfLife]
}

function asList<T>(value: T | T[] | null | undefined): T[] {
  return Array.isArray(value) ? value : value ? [value] : []
}

/** The finish reasons that are failures, with the typed word of each. The last two belong to version 1. */
const faultKinds: Readonly<Record<string, string>> = {
  ERROR: 'server_error',
  TIMEOUT: 'timeout_error',
  ERROR_TOXIC: 'content_filter',
  ERROR_LIMIT: 'context_length_exceeded',
}

function finishReasonOf(raw: string): FinishReason {
  switch (raw) {
    case 'COMPLETE':
    case 'STOP_SEQUENCE':
      return 'stop'
    case 'MAX_TOKENS':
      return 'length'
    case 'TOOL_CALL':
      return 'tool-calls'
    default:
      return 'other'
  }
}

/** `tokens` counts all that the model read and wrote. `billed_units` leaves out what Cohere adds to the prompt. */
function usageOf(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const usage = value as Fields
  const tokens = asFields(usage['tokens'])
  const billed = asFields(usage['billed_units'])
  return reportedUsage({
    inputTokens: tokens['input_tokens'] ?? billed['input_tokens'],
    outputTokens: tokens['output_tokens'] ?? billed['output_tokens'],
    cachedInputTokens: usage['cached_tokens'],
  })
}
