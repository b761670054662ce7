/** Maps the events and the whole replies of OpenAI's Responses API to chunks. */
import { ConvokeError } from '../../errors.ts'
import { readVendorError, embeddedError } from '../../transport/read-vendor-error.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { finishChunk, reportedUsage, signOfLife, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { Fields } from '../shared/fields.ts'
import { argumentsText } from '../shared/request-parts.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import { ItemTracker } from './item-tracker.ts'
import type { ItemProgress } from './item-tracker.ts'

/** The fields of a reply's item that are read here. */
interface Item {
  id?: string
  type?: string
  status?: string
  content?: unknown
  summary?: unknown
  encrypted_content?: string | null
  call_id?: string
  name?: string
  arguments?: unknown
  input?: unknown
}

/** Maps the events of a stream. A whole reply is mapped as its last event. */
export class ResponsesEventMapper implements EventMapper {
  readonly #labels: ReplyLabels
  readonly #calls: ToolCalls
  readonly #items = new ItemTracker()
  #isStarted = false
  /** Whether the pieces of a text differ from the vendor's whole text, because events were lost on the way. */
  #isGarbled = false

  constructor(labels: ReplyLabels) {
    this.#labels = labels
    this.#calls = new ToolCalls(labels.provider)
  }

  event(body: Fields, raw: unknown): readonly ProviderChunk[] {
    if (this.#isStarted) return this.#map(body, raw)
    this.#isStarted = true
    return [startOf(asFields(body['response'])), ...this.#map(body, raw)]
  }

  /** Some servers end a stream with `[DONE]`, but it is no terminal event of this API. */
  done(): ProviderChunk[] {
    return this.end()
  }

  end(): ProviderChunk[] {
    throw this.#error(
      'stream_truncated',
      'The stream ended without its terminal event (response.completed, response.incomplete or response.failed).',
    )
  }

  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!Array.isArray(body['output'])) throw this.#error('malformed_response', 'The reply has no output.')
    return [startOf(body), ...this.#finishChunks(body['status'] ?? 'completed', body, raw, raw)]
  }

  #map(body: Fields, raw: unknown): readonly ProviderChunk[] {
    const delta = typeof body['delta'] === 'string' ? body['delta'] : ''
    switch (body['type']) {
      case 'response.output_text.delta':
        return this.#textChunks(this.#items.findOrOpen('message', body), delta)
      case 'response.refusal.delta':
        return this.#refusalChunks(this.#items.findOrOpen('message', body), delta)
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        return this.#reasoningChunks(this.#items.findOrOpen('reasoning', body), delta)
      case 'response.function_call_arguments.delta':
        return this.#argumentChunks(this.#items.find('function_call', body), delta)
      case 'response.custom_tool_call_input.delta':
        return this.#argumentChunks(this.#items.find('custom_tool_call', body), delta)
      case 'response.output_item.added':
        return this.#itemAdded(asFields(body['item']), body['output_index'])
      case 'response.output_item.done':
        return this.#itemDone(asFields(body['item']), body['output_index'])
      case 'response.output_text.done':
        return this.#wholeText('message', body, body['text'])
      case 'response.function_call_arguments.done':
        return this.#wholeText('function_call', body, body['arguments'])
      case 'response.custom_tool_call_input.done':
        return this.#wholeText('custom_tool_call', body, body['input'])
      case 'response.completed':
      case 'response.done':
      case 'response.incomplete':
      case 'response.cancelled':
      case 'response.failed':
        return this.#finishChunks(
          body['type'].replace('response.', '').replace('done', 'completed'),
          asFields(body['response']),
          asFields(raw)['response'],
          raw,
        )
      case 'error':
        throw this.#failure(raw, raw)
      default:
        return showsProgress(body['type']) ? [signOfLife] : []
    }
  }

  /** Delivers a text that came as a whole, because some servers send no deltas before it. */
  #wholeText(
    type: 'message' | 'function_call' | 'custom_tool_call',
    body: Fields,
    whole: unknown,
  ): readonly ProviderChunk[] {
    if (typeof whole !== 'string') return []
    if (type === 'message') {
      const progress = this.#items.findOrOpen(type, body)
      // Each part of a message comes as a whole; only the first part can be compared with what was delivered.
      return progress.text === '' ? this.#textChunks(progress, whole) : []
    }
    const progress = this.#items.find(type, body)
    return progress && progress.text === '' ? this.#argumentChunks(progress, whole) : []
  }

  #itemAdded(item: Item, index: unknown): readonly ProviderChunk[] {
    const { type = '', id, name } = item
    const progress = this.#items.open(type, id, index, item.call_id)
    // Arguments that the item has already come again, as deltas or at the item's end.
    return isCall(type) ? this.#calls.delta({ id: progress.callId, name }, callKind(type)) : [signOfLife]
  }

  #itemDone(item: Item, index: unknown): readonly ProviderChunk[] {
    const { type = '', id } = item
    const known = this.#items.find(type, { item_id: id, output_index: index })
    const chunks = this.#settle(item, known ?? this.#items.open(type, id, index, item.call_id))
    return chunks.length > 0 ? chunks : [signOfLife]
  }

  /** Delivers the content of an item beyond its deltas, which is all of it when the server sent no deltas. */
  #settle(item: Item, progress: ItemProgress): ProviderChunk[] {
    if (progress.isDone) return []
    progress.isDone = true
    switch (item.type) {
      case 'message': {
        const { text, refusal } = contentOf(item.content)
        if (isContradiction(text, progress.text)) this.#isGarbled = true
        return [
          ...this.#textChunks(progress, undelivered(text, progress.text)),
          ...this.#refusalChunks(progress, undelivered(refusal, progress.refusal)),
        ]
      }
      case 'reasoning':
        return this.#settleReasoning(item, progress)
      case 'function_call':
        return this.#settleCall(item, item.arguments, progress)
      case 'custom_tool_call':
        return this.#settleCall(item, item.input, progress)
      default:
        return []
    }
  }

  #settleReasoning(item: Item, progress: ItemProgress): ProviderChunk[] {
    const text = contentOf(item.summary).text + contentOf(item.content).text
    const reasoning = undelivered(text, progress.text)
    const { encrypted_content: signature } = item
    progress.id ??= item.id
    // The part is delivered without text or signature too: its id goes back to the vendor, which knows the rest.
    if (!reasoning && !signature && (!progress.id || progress.text)) return []
    const isRedacted = signature && !reasoning && !progress.text
    return [
      {
        type: 'reasoning',
        content: '',
        reasoning,
        ...(progress.id ? { id: progress.id } : {}),
        ...(signature ? { signature } : {}),
        ...(isRedacted ? { redacted: true } : {}),
      },
    ]
  }

  #settleCall(item: Item, value: unknown, progress: ItemProgress): ProviderChunk[] {
    const { callId: id, type } = progress
    const chunks = this.#calls.delta({ id, name: item.name }, callKind(type))
    const whole = value === undefined || value === null ? '' : argumentsText(value)
    const missing = undelivered(whole, progress.text)
    if (missing) chunks.push(...this.#calls.delta({ id, arguments: missing }))
    else if (whole) this.#calls.settle(id, whole)
    // A call that was cut off is completed at the end of the stream, where its error can name the reason.
    return item.status === 'incomplete' ? chunks : [...chunks, ...this.#calls.complete({ id })]
  }

  /**
   * The chunks of the terminal event. The event repeats all items, and those that no event announced are delivered from
   * it.
   */
  #finishChunks(ended: unknown, response: Fields, rawResponse: unknown, raw: unknown): ProviderChunk[] {
    const { status: stated, error } = response
    // Some servers send response.completed whatever the status of the response in it is.
    const status = stated === 'incomplete' || stated === 'failed' ? stated : ended
    if (status === 'failed' || error) {
      throw this.#failure({ error: asFields(rawResponse)['error'] ?? 'no reason given' }, raw)
    }
    const items = Array.isArray(response['output']) ? (response['output'] as Item[]) : []
    if (this.#isGarbled && items.some((item) => item.type === 'message')) {
      // A second start chunk makes what came before invalid, and the reply is delivered again from its whole text.
      const again = new ResponsesEventMapper(this.#labels)
      return [startOf(response), ...again.#finishChunks(ended, response, rawResponse, raw)]
    }
    const announced = this.#items.all
    const chunks = items.flatMap((item, index) => this.#settleLast(item, index, announced))
    const reason = asFields(response['incomplete_details'])['reason'] ?? status
    chunks.push(...this.#calls.complete(undefined, String(reason), status === 'incomplete'))
    const finishReason = finishReasonOf(String(reason), this.#calls.size > 0)
    return [...chunks, finishChunk(finishReason, String(reason), usageOf(response['usage']), raw)]
  }

  #settleLast(item: Item, index: number, announced: readonly ItemProgress[]): ProviderChunk[] {
    const { type = '', id } = item
    const sameType = announced.filter((progress) => progress.type === type)
    const known =
      sameType.find((progress) => progress.id === id) ?? sameType.find((progress) => progress.index === index)
    if (known) return this.#settle(item, known)
    // The item may be any of those of its type that were announced, so it is not delivered a second time.
    return sameType.length > 0 ? [] : this.#settle(item, this.#items.open(type, id, index, item.call_id))
  }

  #textChunks(progress: ItemProgress, content: string): readonly ProviderChunk[] {
    progress.text += content
    return content ? [{ type: 'text', content }] : []
  }

  #refusalChunks(progress: ItemProgress, refusal: string): readonly ProviderChunk[] {
    progress.refusal += refusal
    return refusal ? [{ type: 'refusal', content: '', refusal }] : []
  }

  #reasoningChunks(progress: ItemProgress, reasoning: string): readonly ProviderChunk[] {
    progress.text += reasoning
    if (!reasoning) return []
    return [
      {
        type: 'reasoning',
        content: '',
        reasoning,
        ...(progress.id === undefined ? {} : { id: progress.id }),
      },
    ]
  }

  #argumentChunks(progress: ItemProgress | undefined, piece: string): readonly ProviderChunk[] {
    // A call that was never announced is delivered whole at its end.
    if (!progress) return [signOfLife]
    progress.text += piece
    return this.#calls.delta({ id: progress.callId, arguments: piece })
  }

  #failure(error: unknown, raw: unknown): ConvokeError {
    return embeddedError(readVendorError(error), raw, this.#labels)
  }

  #error(code: 'stream_truncated' | 'malformed_response', message: string): ConvokeError {
    return new ConvokeError(code, message, this.#labels)
  }
}

function startOf({ id, model }: Fields): ProviderChunk {
  return startChunk(id, model)
}

/**
 * Whether an event without content shows progress, such as that of a tool of the server. Other events show only that
 * the stream is open.
 */
function showsProgress(type: unknown): boolean {
  return (
    typeof type === 'string' &&
    type.startsWith('response.') &&
    type !== 'response.created' &&
    type !== 'response.queued' &&
    type !== 'response.in_progress'
  )
}

function isCall(type: string): boolean {
  return type === 'function_call' || type === 'custom_tool_call'
}

function callKind(type: string): 'json' | 'text' {
  return type === 'custom_tool_call' ? 'text' : 'json'
}

/** The text and the refusal in the parts of an item's content. */
function contentOf(content: unknown): { text: string; refusal: string } {
  if (typeof content === 'string') return { text: content, refusal: '' }
  let text = ''
  let refusal = ''
  for (const part of Array.isArray(content) ? (content as Fields[]) : []) {
    if (typeof part['text'] === 'string') text += part['text']
    if (typeof part['refusal'] === 'string') refusal += part['refusal']
  }
  return { text, refusal }
}

/** The part of a whole text that was not delivered yet; '' when the delivered pieces differ from the whole text. */
function undelivered(whole: string, delivered: string): string {
  return whole.startsWith(delivered) ? whole.slice(delivered.length) : ''
}

/** Whether the delivered pieces differ from the whole text by more than white space, which some servers trim. */
function isContradiction(whole: string, delivered: string): boolean {
  if (whole.startsWith(delivered)) return false
  const [all, some] = [whole.replace(/\s+/g, ''), delivered.replace(/\s+/g, '')]
  return !all.startsWith(some) && !some.startsWith(all)
}

function finishReasonOf(raw: string, hasCalls: boolean): FinishReason {
  switch (raw) {
    case 'completed':
      return hasCalls ? 'tool-calls' : 'stop'
    case 'max_output_tokens':
    case 'max_tokens':
      return 'length'
    case 'content_filter':
      return 'content-filter'
    default:
      return 'other'
  }
}

function usageOf(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const usage = value as Fields
  const { cached_tokens: cached, cache_write_tokens: written } = asFields(usage['input_tokens_details'])
  return reportedUsage({
    inputTokens: usage['input_tokens'],
    outputTokens: usage['output_tokens'],
    cachedInputTokens: cached,
    cacheWriteInputTokens: written,
    reasoningTokens: asFields(usage['output_tokens_details'])['reasoning_tokens'],
  })
}
