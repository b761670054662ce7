/** Cohere's events, and whole replies, as chunks. */
import { ConvokeError } from '../../errors.ts'
import { readVendorFault, replyError } from '../../transport/fault.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import { signOfLife } from '../shared/mapping.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import type { Fields, ToolCallFields } from './request.ts'

interface Content {
  text?: string | null
  thinking?: string | null
}

interface MessageFields {
  content?: string | Content | Content[] | null
  tool_calls?: ToolCallFields | ToolCallFields[] | null
}

interface EndFields {
  finish_reason?: string | null
  error?: string | null
  usage?: unknown
}

/** Shows progress without content: the plan, citations, the edges of blocks. */

/** Folds the events of a stream, or a whole reply. */
export class ChatEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
    /^\{"type":"content-delta","index":\d+,"delta":\{"message":\{"content":\{"text":"([^"\\\u0000-\u001f]+)"\}\}\}\}$/
  readonly #name: string
  readonly #model: string
  readonly #calls: ToolCalls

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
  }

  event(body: Fields, raw: unknown): readonly ProviderChunk[] {
    const delta = (body['delta'] ?? {}) as EndFields & { message?: MessageFields | null }
    const message = delta.message ?? {}
    const index = typeof body['index'] === 'number' ? body['index'] : undefined
    switch (body['type']) {
      case 'message-start':
        return [startChunk(body)]
      case 'content-start':
      case 'content-delta':
        return orSignOfLife(contentChunks(message.content))
      case 'tool-call-start':
      case 'tool-call-delta':
        return orSignOfLife(asList(message.tool_calls).flatMap((call) => this.#call(call, index)))
      case 'tool-call-end':
        return orSignOfLife(this.#calls.complete({ index }))
      case 'message-end':
        return this.#finish(((raw as Fields)['delta'] ?? {}) as EndFields, raw)
      case undefined:
        // A body of Cohere's errors, without the frame of an event.
        if (typeof body['message'] === 'string') throw this.#failure(raw)
        return []
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

  /** `[DONE]` may follow the terminal event; it is none itself. */
  done(): never {
    return this.end()
  }

  end(): never {
    throw new ConvokeError('stream_truncated', 'The stream ended without its terminal event message-end.', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    const message = body['message'] as MessageFields | string | null | undefined
    if (typeof message === 'string') throw this.#failure(raw)
    if (!message) {
      throw new ConvokeError('malformed_response', 'The reply has no message.', {
        provider: this.#name,
        model: this.#model,
      })
    }
    return [
      startChunk(body),
      ...contentChunks(message.content),
      ...asList(message.tool_calls).flatMap((call) => this.#call(call)),
      ...this.#finish(raw as EndFields, raw),
    ]
  }

  #call({ id, function: call }: ToolCallFields, index?: number): ProviderChunk[] {
    return this.#calls.delta({ id, index, name: call?.name, arguments: call?.arguments })
  }

  /** The first is a part of `raw`: its words may go into an error. */
  #finish({ finish_reason: reason, error, usage }: EndFields, raw: unknown): ProviderChunk[] {
    const kind = reason ? kindOfFailure[reason] : undefined
    if (kind ?? error) {
      throw this.#failure(raw, kind ?? 'server_error', error || `The generation ended with ${reason}.`)
    }
    const calls = this.#calls.complete(undefined, reason ?? undefined, reason === 'MAX_TOKENS')
    const reported = chatUsage(usage)
    return [
      ...calls,
      {
        type: 'finish',
        content: '',
        finishReason: reason ? finishReasonOf(reason) : this.#calls.size > 0 ? 'tool-calls' : 'stop',
        ...(reason ? { rawFinishReason: reason } : {}),
        ...(reported ? { usage: reported } : {}),
        raw,
      },
    ]
  }

  /** An error that came inside a reply. */
  #failure(raw: unknown, kind?: string, message?: string): ConvokeError {
    const fault = kind ? { kinds: [kind], message: message ?? '' } : readVendorFault(raw)
    return replyError(fault, raw, { provider: this.#name, model: this.#model })
  }
}

function startChunk({ id }: Fields): ProviderChunk {
  return { type: 'start', content: '', ...(typeof id === 'string' ? { id } : {}) }
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

/** Finish reasons that are failures, and the typed word of each. The last two are those of version 1. */
const kindOfFailure: Readonly<Record<string, string>> = {
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

/** `tokens` is what the model read and wrote; `billed_units` leaves out what Cohere adds to the prompt. */
function chatUsage(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { tokens, billed_units, cached_tokens } = value as {
    tokens?: TokenFields | null
    billed_units?: TokenFields | null
    cached_tokens?: number | null
  }
  const input = tokens?.input_tokens ?? billed_units?.input_tokens
  const output = tokens?.output_tokens ?? billed_units?.output_tokens
  return {
    ...(typeof input === 'number' ? { inputTokens: input } : {}),
    ...(typeof output === 'number' ? { outputTokens: output } : {}),
    ...(typeof cached_tokens === 'number' ? { cachedInputTokens: cached_tokens } : {}),
  }
}

interface TokenFields {
  input_tokens?: number | null
  output_tokens?: number | null
}
