/** The events of Anthropic's Messages API as chunks. */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import { signOfLife } from '../shared/mapping.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'

type Fields = Record<string, unknown>

/** A block of content, whole or as it starts. Further types are servers' tools and their results. */
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

/** A block that has begun. */
interface OpenBlock {
  kind: 'tool_use' | 'thinking' | 'other'
  id: string | undefined
  index: number
  /** Arguments that came with the start; deltas, if any, say them again. */
  input: unknown
  /** The arguments as deltas give them. */
  json: string
  signature: string
}

/** Folds the events of a stream, and a whole message, which is the same blocks at once. */
export class MessagesEventMapper implements EventMapper {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
    /^\{"type":"content_block_delta","index":\d+,"delta":\{"type":"text_delta","text":"([^"\\\u0000-\u001f]+)"\} *\}$/
  readonly #name: string
  readonly #model: string
  #calls: ToolCalls
  /** By index; a number may come again when the message begins anew. */
  readonly #open = new Map<number, OpenBlock>()
  #start: ProviderChunk | undefined
  #hasContent = false
  /** A call without arguments that has stopped: whether it was cut off is not known before something follows it. */
  #waiting: { id: string | undefined; index: number } | undefined
  #stopReason: string | undefined
  /** Counts as Anthropic words them. Later events give totals, and may leave fields out. */
  readonly #counts: Fields = {}
  #raw: unknown

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
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
        return this.#finish()
      default:
        return []
    }
  }

  end(): ProviderChunk[] {
    throw this.#error('stream_truncated', 'The stream ended without its terminal event message_stop.')
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    const message = body as Message
    if (!Array.isArray(message.content)) throw this.#error('malformed_response', 'The reply has no content.')
    const last = message.content.at(-1)
    // Its input is an object all the same, so nothing else tells.
    // https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
    if (last?.type === 'tool_use' && finishReasonOf(message.stop_reason) === 'length') {
      const why = `The reply ended with '${message.stop_reason}'; a higher maxTokens may help.`
      throw this.#error('malformed_response', `The tool call ${last.name} was cut off. ${why}`)
    }
    this.#raw = raw
    return [...this.#message(message), ...this.#finish()]
  }

  /**
   * A message begins. Programmatic tool calls give all of it here. A message that begins anew voids what came
   * before; the second start chunk says so.
   */
  #message(message: Message): ProviderChunk[] {
    const { id, model, content, stop_reason: stopReason, usage } = message
    const chunks: ProviderChunk[] = []
    if (!this.#start || this.#hasContent) {
      this.#start ??= { type: 'start', content: '', ...(id ? { id } : {}), ...(model ? { model } : {}) }
      this.#calls = new ToolCalls(this.#name)
      this.#open.clear()
      this.#waiting = undefined
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
    // Only the last block of a message can have been cut off.
    const before = this.#waiting ? this.#calls.complete(this.#waiting) : []
    this.#waiting = undefined
    return [...before, ...this.#blockBegin(block, index)]
  }

  #blockBegin(block: Block, index: number): ProviderChunk[] {
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
        // A tool at work on the vendor's side, or what it gave.
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
        // It goes out when the block stops. No sign of life here: that would part it from its thinking.
        if (open) open.signature += delta.signature ?? ''
        return []
      case 'input_json_delta': {
        if (open?.kind !== 'tool_use' || !delta.partial_json) return [signOfLife]
        open.json += delta.partial_json
        return this.#calls.delta({ id: open.id, index, arguments: delta.partial_json })
      }
      default:
        // Citations and compactions among them.
        return [signOfLife]
    }
  }

  #blockStop(index: number): ProviderChunk[] {
    const open = this.#open.get(index)
    if (!open) return []
    this.#open.delete(index)
    const { id, kind, input, signature } = open
    if (kind === 'thinking') {
      // Without a signature (compatible servers) a text chunk ends the reasoning part.
      return [signature ? { type: 'reasoning', content: '', reasoning: '', signature } : signOfLife]
    }
    if (kind !== 'tool_use') return []
    const chunks = open.json || !isFilled(input) ? [] : this.#calls.delta({ id, index, arguments: input })
    // A call that was cut off waits for the stop reason, for its error.
    const mayBeCut = open.json ? isCutOff(open.json) : !isFilled(input)
    if (mayBeCut && !open.json) this.#waiting = { id, index }
    return mayBeCut ? chunks : [...chunks, ...this.#calls.complete({ id, index })]
  }

  #finish(): ProviderChunk[] {
    const stops = [...this.#open.keys()].flatMap((index) => this.#blockStop(index))
    const calls = this.#calls.complete(
      undefined,
      this.#stopReason,
      finishReasonOf(this.#stopReason) === 'length',
    )
    const usage = usageOf(this.#counts)
    return [
      ...stops,
      ...calls,
      {
        type: 'finish',
        content: '',
        finishReason: this.#stopReason
          ? finishReasonOf(this.#stopReason)
          : this.#calls.size
            ? 'tool-calls'
            : 'stop',
        ...(this.#stopReason ? { rawFinishReason: this.#stopReason } : {}),
        usage,
        raw: this.#raw,
      },
    ]
  }

  #usage(usage: unknown): ProviderChunk[] {
    if (typeof usage !== 'object' || usage === null) return []
    for (const [name, value] of Object.entries(usage)) {
      if (value !== null && value !== undefined) this.#counts[name] = value
    }
    return [{ type: 'usage', content: '', usage: usageOf(this.#counts) }]
  }

  #error(code: 'malformed_response' | 'stream_truncated', message: string): ConvokeError {
    return new ConvokeError(code, message, { provider: this.#name, model: this.#model })
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

/** Anthropic counts cached input beside the input, and thinking inside the output. */
function usageOf(counts: Fields): ReportedUsage {
  const number = (value: unknown) => (typeof value === 'number' ? value : undefined)
  const input = number(counts['input_tokens'])
  const output = number(counts['output_tokens'])
  const read = number(counts['cache_read_input_tokens'])
  const written = number(counts['cache_creation_input_tokens'])
  const details = counts['output_tokens_details'] as { thinking_tokens?: unknown } | undefined
  const reasoning = number(details?.thinking_tokens)
  return {
    ...(input === undefined ? {} : { inputTokens: input + (read ?? 0) + (written ?? 0) }),
    ...(output === undefined ? {} : { outputTokens: output }),
    ...(read === undefined ? {} : { cachedInputTokens: read }),
    ...(written === undefined ? {} : { cacheWriteInputTokens: written }),
    ...(reasoning === undefined ? {} : { reasoningTokens: reasoning }),
  }
}
