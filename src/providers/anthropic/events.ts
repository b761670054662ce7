/**
 * Maps the events and the whole messages of Anthropic's Messages API to chunks.
 *
 * Room `providers/anthropic`: Anthropic's client, requests and events. Imported by `providers`.
 */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { finishChunk, reportedUsage, signOfLife, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { Fields } from '../shared/fields.ts'
import { ToolCalls } from '../shared/tool-calls.ts'

/** A block of content, complete or as it starts. Other types of blocks are tools that run at the vendor's. */
interface Block {
  type?: string
  text?: string
  thinking?: string
  signature?: string
  data?: string
  id?: string
  name?: string
  input?: unknown
}

interface Delta {
  type?: string
  text?: string
  thinking?: string
  signature?: string
  partial_json?: string
  stop_reason?: string | null
}

interface Message {
  id?: string
  model?: string
  content?: Block[] | null
  stop_reason?: string | null
  usage?: Fields | null
}

/** A block that has begun and not yet stopped. */
interface OpenBlock {
  kind: 'tool_use' | 'thinking' | 'other'
  id: string | undefined
  index: number
  /** The arguments that came with the start. Deltas repeat them. */
  input: unknown
  /** The arguments that came in deltas, as JSON text. */
  json: string
  signature: string
}

/** Maps the events of a stream. A whole message is mapped as the same blocks, all at once. */
export class MessagesEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids control characters inside a string
    /^\{"type":"content_block_delta","index":\d+,"delta":\{"type":"text_delta","text":"([^"\\\u0000-\u001f]+)"\} *\}$/
  readonly #labels: ReplyLabels
  #calls: ToolCalls
  /** The open blocks by index. Indexes are used again when the message begins again. */
  readonly #open = new Map<number, OpenBlock>()
  #start: ProviderChunk | undefined
  #hasContent = false
  /** A stopped call without arguments. Only what follows shows whether the call was cut off. */
  #uncertain: { id: string | undefined; index: number } | undefined
  #stopReason: string | undefined
  /** The counts under Anthropic's names. Later events give totals, and may leave fields out. */
  readonly #counts: Fields = {}
  #raw: unknown

  constructor(labels: ReplyLabels) {
    this.#labels = labels
    this.#calls = new ToolCalls(labels.provider)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    const index = typeof body['index'] === 'number' ? body['index'] : 0
    switch (body['type']) {
      case 'message_start':
        this.#raw = raw
        return this.#message((body['message'] ?? {}) as Message)
      case 'content_block_start':
        return this.#blockStart((body['content_block'] ?? {}) as Block, index)
      case 'content_block_delta':
        return this.#blockDelta((body['delta'] ?? {}) as Delta, index)
      case 'content_block_stop':
        return this.#blockStop(index)
      case 'message_delta':
        this.#raw = raw
        this.#stopReason = (body['delta'] as Delta | undefined)?.stop_reason ?? this.#stopReason
        return this.#usage(body['usage'])
      case 'message_stop':
        return this.#finishChunks()
      default:
        return []
    }
  }

  end(): ProviderChunk[] {
    throw this.#error('stream_truncated', 'The stream ended without its terminal event message_stop.')
  }

  whole(body: Fields, raw: unknown): ProviderChunk[] {
    const message = body as Message
    if (!Array.isArray(message.content)) throw this.#error('malformed_response', 'The reply has no content.')
    const last = message.content.at(-1)
    // The input of a call that was cut off is an object too, so only the stop reason shows the cut.
    // https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
    if (last?.type === 'tool_use' && finishReasonOf(message.stop_reason) === 'length') {
      const why = `The reply ended with '${message.stop_reason}'; a higher maxTokens may help.`
      throw this.#error('malformed_response', `The tool call ${last.name} was cut off. ${why}`)
    }
    this.#raw = raw
    return [...this.#message(message), ...this.#finishChunks()]
  }

  /**
   * The chunks of a message that begins. A reply to programmatic tool calls has all of its content here. A message that
   * begins again makes what came before invalid, and a second start chunk says so.
   */
  #message(message: Message): ProviderChunk[] {
    const { id, model, content, stop_reason: stopReason, usage } = message
    const chunks: ProviderChunk[] = []
    if (!this.#start || this.#hasContent) {
      this.#start ??= startChunk(id, model)
      this.#calls = new ToolCalls(this.#labels.provider)
      this.#open.clear()
      this.#uncertain = undefined
      this.#hasContent = false
      chunks.push(this.#start)
    }
    chunks.push(...this.#usage(usage))
    for (const [index, block] of (content ?? []).entries()) {
      chunks.push(...this.#blockStart(block, index), ...this.#blockStop(index))
    }
    this.#stopReason = stopReason ?? undefined
    return chunks
  }

  #blockStart(block: Block, index: number): ProviderChunk[] {
    this.#hasContent = true
    // Only the last block of a message can be cut off, so the call before this block is complete.
    const before = this.#uncertain ? this.#calls.complete(this.#uncertain) : []
    this.#uncertain = undefined
    return [...before, ...this.#openBlock(block, index)]
  }

  #openBlock(block: Block, index: number): ProviderChunk[] {
    const { id, input, signature = '' } = block
    const open: OpenBlock = { kind: 'other', id, index, input, json: '', signature }
    this.#open.set(index, open)
    switch (block.type) {
      case 'text':
        return [{ type: 'text', content: block.text ?? '' }]
      case 'thinking':
        open.kind = 'thinking'
        return block.thinking ? [{ type: 'reasoning', content: '', reasoning: block.thinking }] : [signOfLife]
      case 'redacted_thinking':
        return [
          { type: 'reasoning', content: '', reasoning: '', redacted: true, signature: block.data ?? '' },
        ]
      case 'tool_use':
        open.kind = 'tool_use'
        return this.#calls.delta({ id, index, name: block.name })
      default:
        // A tool that runs at the vendor's, or its result.
        return [signOfLife]
    }
  }

  #blockDelta(delta: Delta, index: number): ProviderChunk[] {
    const open = this.#open.get(index)
    switch (delta.type) {
      case 'text_delta':
        return [{ type: 'text', content: delta.text ?? '' }]
      case 'thinking_delta':
        return delta.thinking ? [{ type: 'reasoning', content: '', reasoning: delta.thinking }] : []
      case 'signature_delta':
        // The signature is delivered when the block stops. A sign of life here would separate it from its thinking.
        if (open) open.signature += delta.signature ?? ''
        return []
      case 'input_json_delta': {
        if (open?.kind !== 'tool_use' || !delta.partial_json) return [signOfLife]
        open.json += delta.partial_json
        return this.#calls.delta({ id: open.id, index, arguments: delta.partial_json })
      }
      default:
        // Citations, compactions and the like have no chunk of their own.
        return [signOfLife]
    }
  }

  #blockStop(index: number): ProviderChunk[] {
    const open = this.#open.get(index)
    if (!open) return []
    this.#open.delete(index)
    const { id, kind, input, signature } = open
    if (kind === 'thinking') {
      // Compatible servers send no signature; there, a text chunk ends the reasoning part.
      return [signature ? { type: 'reasoning', content: '', reasoning: '', signature } : signOfLife]
    }
    if (kind !== 'tool_use') return []
    const chunks = open.json || !isFilled(input) ? [] : this.#calls.delta({ id, index, arguments: input })
    // A call that was cut off is completed at the end, where its error can name the stop reason.
    const mayBeCut = open.json ? isCutOff(open.json) : !isFilled(input)
    if (mayBeCut && !open.json) this.#uncertain = { id, index }
    return mayBeCut ? chunks : [...chunks, ...this.#calls.complete({ id, index })]
  }

  #finishChunks(): ProviderChunk[] {
    const stopReason = this.#stopReason
    const stops = [...this.#open.keys()].flatMap((index) => this.#blockStop(index))
    const calls = this.#calls.complete(undefined, stopReason, finishReasonOf(stopReason) === 'length')
    const finishReason = stopReason ? finishReasonOf(stopReason) : this.#calls.size ? 'tool-calls' : 'stop'
    return [...stops, ...calls, finishChunk(finishReason, stopReason, usageOf(this.#counts), this.#raw)]
  }

  #usage(usage: unknown): ProviderChunk[] {
    if (typeof usage !== 'object' || usage === null) return []
    for (const [name, value] of Object.entries(usage)) {
      if (value !== null && value !== undefined) this.#counts[name] = value
    }
    return [{ type: 'usage', content: '', usage: usageOf(this.#counts) }]
  }

  #error(code: 'malformed_response' | 'stream_truncated', message: string): ConvokeError {
    return new ConvokeError(code, message, this.#labels)
  }
}

function isFilled(input: unknown): boolean {
  if (typeof input === 'string') return input !== ''
  return typeof input === 'object' && input !== null && Object.keys(input).length > 0
}

function isCutOff(json: string): boolean {
  if (!json) return false
  try {
    JSON.parse(json)
    return false
  } catch {
    return true
  }
}

function finishReasonOf(raw: string | null | undefined): FinishReason {
  switch (raw) {
    case 'end_turn':
    case 'stop_sequence':
      return 'stop'
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length'
    case 'tool_use':
      return 'tool-calls'
    case 'refusal':
      return 'content-filter'
    default:
      return 'other'
  }
}

/** Anthropic counts cached input separately from the input, and counts thinking as part of the output. */
function usageOf(counts: Fields): ReportedUsage {
  const { input_tokens: input, cache_read_input_tokens: read, cache_creation_input_tokens: written } = counts
  const cached = (typeof read === 'number' ? read : 0) + (typeof written === 'number' ? written : 0)
  return reportedUsage({
    inputTokens: typeof input === 'number' ? input + cached : undefined,
    outputTokens: counts['output_tokens'],
    cachedInputTokens: read,
    cacheWriteInputTokens: written,
    reasoningTokens: asFields(counts['output_tokens_details'])['thinking_tokens'],
  })
}
