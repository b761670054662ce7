/** OpenAI's Responses API: what its events and replies mean. */
import { ConvokeError } from '../../errors.ts'
import { readVendorFault, replyError } from '../../transport/fault.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import { argumentsText, signOfLife } from '../shared/mapping.ts'
import { startChunk } from './chat-events.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { makeCallId, ToolCalls } from '../shared/tool-calls.ts'

type Fields = Record<string, unknown>

/** An item of a reply, as far as it is read here. */
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

/** What was delivered of one item. */
interface Progress {
  type: string
  id: string | undefined
  index: number | undefined
  callId: string
  /** The text, reasoning or arguments so far. */
  text: string
  refusal: string
  isDone: boolean
}

/** Something is at work that has no chunk of its own: a tool of the server, say. */

/** Folds the events of a Responses stream, and, as one event, a whole reply. */
export class ResponsesEventMapper implements EventMapper {
  readonly #name: string
  readonly #model: string
  readonly #calls: ToolCalls
  readonly #items: Progress[] = []
  #isStarted = false
  /** The pieces of a text do not add up to what the vendor says it is: events were lost on the way. */
  #isGarbled = false

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
  }

  event(body: Fields, raw: unknown): readonly ProviderChunk[] {
    if (this.#isStarted) return this.#read(body, raw)
    this.#isStarted = true
    return [startChunk(asFields(body['response'])), ...this.#read(body, raw)]
  }

  /** Some servers close with `[DONE]`; it is no terminal event of this API. */
  done(): ProviderChunk[] {
    return this.end()
  }

  end(): ProviderChunk[] {
    throw this.#error(
      'stream_truncated',
      'The stream ended without its terminal event (response.completed, response.incomplete or response.failed).',
    )
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!Array.isArray(body['output'])) throw this.#error('malformed_response', 'The reply has no output.')
    return [startChunk(body), ...this.#finish(body['status'] ?? 'completed', body, raw, raw)]
  }

  #read(body: Fields, raw: unknown): readonly ProviderChunk[] {
    const delta = typeof body['delta'] === 'string' ? body['delta'] : ''
    switch (body['type']) {
      case 'response.output_text.delta':
        return this.#text(this.#progress('message', body), delta)
      case 'response.refusal.delta':
        return this.#refusal(this.#progress('message', body), delta)
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        return this.#reasoning(this.#progress('reasoning', body), delta)
      case 'response.function_call_arguments.delta':
        return this.#arguments(this.#find('function_call', body), delta)
      case 'response.custom_tool_call_input.delta':
        return this.#arguments(this.#find('custom_tool_call', body), delta)
      case 'response.output_item.added':
        return this.#added(asFields(body['item']), body['output_index'])
      case 'response.output_item.done':
        return this.#done(asFields(body['item']), body['output_index'])
      case 'response.output_text.done':
        return this.#told('message', body, body['text'])
      case 'response.function_call_arguments.done':
        return this.#told('function_call', body, body['arguments'])
      case 'response.custom_tool_call_input.done':
        return this.#told('custom_tool_call', body, body['input'])
      case 'response.completed':
      case 'response.done':
      case 'response.incomplete':
      case 'response.cancelled':
      case 'response.failed':
        return this.#finish(
          body['type'].replace('response.', '').replace('done', 'completed'),
          asFields(body['response']),
          asFields(raw)['response'],
          raw,
        )
      case 'error':
        throw this.#failure(raw, raw)
      default:
        return isWork(body['type']) ? [signOfLife] : []
    }
  }

  /** A text told whole: some servers send no deltas before it. */
  #told(
    type: 'message' | 'function_call' | 'custom_tool_call',
    body: Fields,
    whole: unknown,
  ): readonly ProviderChunk[] {
    if (typeof whole !== 'string') return []
    if (type === 'message') {
      const progress = this.#progress(type, body)
      // Of several parts of a message, each is told; only the first can be told from what came.
      return progress.text === '' ? this.#text(progress, whole) : []
    }
    const progress = this.#find(type, body)
    return progress && progress.text === '' ? this.#arguments(progress, whole) : []
  }

  #added(item: Item, index: unknown): readonly ProviderChunk[] {
    const { type = '', id, name } = item
    const progress = this.#open(type, id, index, item.call_id)
    // Arguments that stand here already come again as deltas or in the item's end.
    return isCall(type) ? this.#calls.delta({ id: progress.callId, name }, callKind(type)) : [signOfLife]
  }

  #done(item: Item, index: unknown): readonly ProviderChunk[] {
    const { type = '', id } = item
    const known = this.#find(type, { item_id: id, output_index: index })
    const chunks = this.#settle(item, known ?? this.#open(type, id, index, item.call_id))
    return chunks.length > 0 ? chunks : [signOfLife]
  }

  /** Delivers what an item holds beyond its deltas: all of it where the server sent none. */
  #settle(item: Item, progress: Progress): ProviderChunk[] {
    if (progress.isDone) return []
    progress.isDone = true
    switch (item.type) {
      case 'message': {
        const { text, refusal } = contentOf(item.content)
        if (isContradiction(text, progress.text)) this.#isGarbled = true
        return [
          ...this.#text(progress, rest(text, progress.text)),
          ...this.#refusal(progress, rest(refusal, progress.refusal)),
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

  #settleReasoning(item: Item, progress: Progress): ProviderChunk[] {
    const text = contentOf(item.summary).text + contentOf(item.content).text
    const reasoning = rest(text, progress.text)
    const { encrypted_content: signature } = item
    progress.id ??= item.id
    // Also without text or signature: its id goes back to the vendor, which knows the rest.
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

  #settleCall(item: Item, value: unknown, progress: Progress): ProviderChunk[] {
    const { callId: id, type } = progress
    const chunks = this.#calls.delta({ id, name: item.name }, callKind(type))
    const whole = value === undefined || value === null ? '' : argumentsText(value)
    const missing = rest(whole, progress.text)
    if (missing) chunks.push(...this.#calls.delta({ id, arguments: missing }))
    else if (whole) this.#calls.settle(id, whole)
    // One that was cut off waits for the end of the stream, which knows the reason.
    return item.status === 'incomplete' ? chunks : [...chunks, ...this.#calls.complete({ id })]
  }

  /** The vendor's last word. It repeats all items: those that no event announced are delivered from it. */
  #finish(ended: unknown, response: Fields, rawResponse: unknown, raw: unknown): ProviderChunk[] {
    const { status: said, error } = response
    // Some servers say response.completed whatever the response inside says.
    const status = said === 'incomplete' || said === 'failed' ? said : ended
    if (status === 'failed' || error) {
      throw this.#failure({ error: asFields(rawResponse)['error'] ?? 'no reason given' }, raw)
    }
    const items = Array.isArray(response['output']) ? (response['output'] as Item[]) : []
    if (this.#isGarbled && items.some((item) => item.type === 'message')) {
      // The second start chunk voids what came before: the reply is told again, as it should have been.
      const again = new ResponsesEventMapper(this.#name, this.#model)
      return [startChunk(response), ...again.#finish(ended, response, rawResponse, raw)]
    }
    const announced = [...this.#items]
    const chunks = items.flatMap((item, index) => this.#settleLast(item, index, announced))
    const reason = asFields(response['incomplete_details'])['reason'] ?? status
    chunks.push(...this.#calls.complete(undefined, String(reason), status === 'incomplete'))
    const usage = usageOf(response['usage'])
    chunks.push({
      type: 'finish',
      content: '',
      finishReason: finishReasonOf(String(reason), this.#calls.size > 0),
      rawFinishReason: String(reason),
      ...(usage ? { usage } : {}),
      raw,
    })
    return chunks
  }

  #settleLast(item: Item, index: number, announced: readonly Progress[]): ProviderChunk[] {
    const { type = '', id } = item
    const same = announced.filter((progress) => progress.type === type)
    const known =
      same.find((progress) => progress.id === id) ?? same.find((progress) => progress.index === index)
    if (known) return this.#settle(item, known)
    // Not to be told apart from those of its type that were announced: better once than twice.
    return same.length > 0 ? [] : this.#settle(item, this.#open(type, id, index, item.call_id))
  }

  #text(progress: Progress, content: string): readonly ProviderChunk[] {
    progress.text += content
    return content ? [{ type: 'text', content }] : []
  }

  #refusal(progress: Progress, refusal: string): readonly ProviderChunk[] {
    progress.refusal += refusal
    return refusal ? [{ type: 'refusal', content: '', refusal }] : []
  }

  #reasoning(progress: Progress, reasoning: string): readonly ProviderChunk[] {
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

  #arguments(progress: Progress | undefined, piece: string): readonly ProviderChunk[] {
    // A call that was never announced comes whole at its end.
    if (!progress) return [signOfLife]
    progress.text += piece
    return this.#calls.delta({ id: progress.callId, arguments: piece })
  }

  #progress(type: string, body: Fields): Progress {
    const { item_id: id, output_index: index } = body
    return this.#find(type, body) ?? this.#open(type, typeof id === 'string' ? id : undefined, index)
  }

  /**
   * The item that an event is about, by its id, else by its place: some servers give an item another id in every
   * event, others number all items 0.
   */
  #find(type: string, { item_id: id, output_index: index }: Fields): Progress | undefined {
    const latest = this.#items.at(-1)
    if (latest && latest.type === type && latest.id === id && latest.index === index) return latest
    const same = this.#items.filter((progress) => progress.type === type)
    const open = same.filter((progress) => !progress.isDone)
    return (
      same.findLast((progress) => progress.id === id && id !== undefined) ??
      open.findLast((progress) => progress.index === index)
    )
  }

  #open(type: string, id: string | undefined, index: unknown, callId?: string): Progress {
    const progress: Progress = {
      type,
      id,
      index: typeof index === 'number' ? index : undefined,
      callId: callId || id || makeCallId(),
      text: '',
      refusal: '',
      isDone: false,
    }
    this.#items.push(progress)
    return progress
  }

  #failure(fault: unknown, raw: unknown): ConvokeError {
    return replyError(readVendorFault(fault), raw, { provider: this.#name, model: this.#model })
  }

  #error(code: 'stream_truncated' | 'malformed_response', message: string): ConvokeError {
    return new ConvokeError(code, message, { provider: this.#name, model: this.#model })
  }
}

/** Whether an event without content tells of progress; the others say only that the stream is there. */
function isWork(type: unknown): boolean {
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

/** The text and the refusal in the parts of an item. */
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

/** What of a whole text was not delivered yet; nothing where the pieces said something else. */
function rest(whole: string, delivered: string): string {
  return whole.startsWith(delivered) ? whole.slice(delivered.length) : ''
}

/** Whether the pieces of a text differ from the whole by more than white space, which some servers trim. */
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
  const { input_tokens: input, output_tokens: output, ...details } = value as Fields
  const { cached_tokens: cached, cache_write_tokens: written } = asFields(details['input_tokens_details'])
  const { reasoning_tokens: reasoning } = asFields(details['output_tokens_details'])
  return {
    ...(typeof input === 'number' ? { inputTokens: input } : {}),
    ...(typeof output === 'number' ? { outputTokens: output } : {}),
    ...(typeof cached === 'number' ? { cachedInputTokens: cached } : {}),
    ...(typeof written === 'number' ? { cacheWriteInputTokens: written } : {}),
    ...(typeof reasoning === 'number' ? { reasoningTokens: reasoning } : {}),
  }
}

function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
