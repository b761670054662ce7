/** OpenAI's chat events, and whole replies, as chunks. */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import type { Dialect } from '../shared/presets.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import type { Fields } from './chat-request.ts'

interface Choice {
  index?: number
  delta?: Delta
  message?: Delta
  finish_reason?: string | null
  usage?: unknown
}

interface Delta {
  content?: unknown
  reasoning_content?: unknown
  reasoning?: unknown
  refusal?: string | null
  tool_calls?: (ToolCallFields | null)[] | ToolCallFields | null
  function_call?: { name?: string; arguments?: unknown } | null
}

interface ToolCallFields {
  id?: string | number | null
  index?: number | null
  extra_content?: { google?: { thought_signature?: string } } | null
  function?: { name?: string | null; arguments?: unknown }
  custom?: { name?: string | null; input?: string }
}

/** A chunk of the first choice with text and nothing else, in the form of OpenAI and most servers of its protocol. */
const plainText =
  // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
  /^\{"id":"[^"\\\u0000-\u001f]*","object":"chat\.completion\.chunk","created":[1-9]\d*,"model":"[^"\\\u0000-\u001f]*",(?:"(?:service_tier|system_fingerprint)":(?:null|"[^"\\\u0000-\u001f]*"),)*"choices":\[\{"index":0,"delta":\{"content":"([^"\\\u0000-\u001f]+)"\},(?:"logprobs":null,)?"finish_reason":null\}\](?:,"usage":null)?(?:,"obfuscation":"[^"\\\u0000-\u001f]*")?\}$/

/** Folds the events of a chat stream, and, as one event, a whole chat reply. */
export class ChatEventMapper implements EventMapper {
  readonly #name: string
  readonly #model: string
  readonly #needsDone: boolean
  readonly #calls: ToolCalls
  #isStarted = false
  #hasChoice = false
  #finish: string | undefined
  #usage: ReportedUsage | undefined
  #raw: unknown

  constructor(name: string, model: string, dialect: Dialect) {
    this.#name = name
    this.#model = model
    this.#needsDone = dialect.needsDone
    this.#calls = new ToolCalls(name)
  }

  /** Not before a choice was seen, which is what `[DONE]` has to follow. */
  get plainText(): RegExp | undefined {
    return this.#hasChoice ? plainText : undefined
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    this.#raw = raw
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      chunks.push(startChunk(body))
    }
    const choices = (body['choices'] as (Choice | null)[] | null | undefined) ?? []
    // Kimi tells usage in the choice, Groq in a field of its own.
    const usage = chatUsage(
      body['usage'] ?? choices[0]?.usage ?? (body['x_groq'] as Fields | null | undefined)?.['usage'],
    )
    if (usage) {
      this.#usage = usage
      chunks.push({ type: 'usage', content: '', usage })
    }
    for (const choice of choices) {
      // Further choices (vendor: { n }) are in `raw` alone.
      if (!choice || choice.index) continue
      this.#hasChoice = true
      this.#delta(choice.delta ?? choice.message ?? {}, chunks)
      if (choice.finish_reason) this.#finish = choice.finish_reason
    }
    return chunks
  }

  done(): ProviderChunk[] {
    // Some gateways end every stream with [DONE], also one whose reply never came.
    if (!this.#hasChoice) throw this.#truncated('The stream ended without a reply.')
    return this.#finishChunks()
  }

  end(): ProviderChunk[] {
    // `[DONE]` is the terminal event of OpenAI and of every server with a preset. Some others leave it out: there the
    // finish reason is.
    if (this.#finish && !this.#needsDone) return this.#finishChunks()
    throw this.#truncated('The stream ended without its terminal event [DONE].')
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!Array.isArray(body['choices']) || body['choices'].length === 0) {
      throw new ConvokeError('malformed_response', 'The reply has no choices.', {
        provider: this.#name,
        model: this.#model,
      })
    }
    return [...this.event(body, raw), ...this.#finishChunks()]
  }

  #delta(delta: Delta, chunks: ProviderChunk[]): void {
    const { text, thinking } = splitContent(delta.content)
    const reasoning = thinking || textOf(delta.reasoning_content) || textOf(delta.reasoning)
    if (reasoning) chunks.push({ type: 'reasoning', content: '', reasoning })
    if (text) chunks.push({ type: 'text', content: text })
    if (delta.refusal) chunks.push({ type: 'refusal', content: '', refusal: delta.refusal })
    if (delta.function_call) chunks.push(...this.#calls.delta({ index: 0, ...delta.function_call }))
    for (const part of [delta.tool_calls ?? []].flat()) {
      const { id, index, function: call, custom, extra_content: extra } = part ?? {}
      if (!part) continue
      const signature = extra?.google?.thought_signature
      if (custom) {
        chunks.push(...this.#calls.delta({ id, index, name: custom.name, arguments: custom.input }, 'text'))
      } else {
        chunks.push(
          ...this.#calls.delta({ id, index, name: call?.name, arguments: call?.arguments, signature }),
        )
      }
    }
  }

  #truncated(message: string): ConvokeError {
    return new ConvokeError('stream_truncated', message, { provider: this.#name, model: this.#model })
  }

  #finishChunks(): ProviderChunk[] {
    const reason = this.#finish ? finishReasonOf(this.#finish) : 'other'
    const isCut = reason === 'length' || reason === 'content-filter'
    const calls = this.#calls.complete(undefined, this.#finish, isCut)
    // A forced call ends with 'stop' at OpenAI itself; some servers give no reason at all.
    const isUnsaid = reason === 'stop' || !this.#finish
    const finishReason = isUnsaid && calls.length > 0 ? 'tool-calls' : reason
    return [
      ...calls,
      {
        type: 'finish',
        content: '',
        finishReason,
        ...(this.#finish ? { rawFinishReason: this.#finish } : {}),
        ...(this.#usage ? { usage: this.#usage } : {}),
        raw: this.#raw,
      },
    ]
  }
}

/** The chunk that begins a reply, with its id and model as the vendor tells them. */
export function startChunk(body: Fields): ProviderChunk {
  const { id, model } = body
  return {
    type: 'start',
    content: '',
    ...(typeof id === 'string' ? { id } : {}),
    ...(typeof model === 'string' && model ? { model } : {}),
  }
}

/** Text, or a list of parts (Mistral), whose thinking parts hold lists themselves. */
function splitContent(content: unknown): { text: string; thinking: string } {
  if (typeof content === 'string') return { text: content, thinking: '' }
  let text = ''
  let thinking = ''
  if (Array.isArray(content)) {
    for (const part of content as Fields[]) {
      if (part['type'] === 'thinking') thinking += textOf(part['thinking'])
      else text += textOf(part['text'])
    }
  }
  return { text, thinking }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return Array.isArray(value) ? value.map((part: Fields) => textOf(part['text'])).join('') : ''
}

function finishReasonOf(raw: string): FinishReason {
  switch (raw) {
    case 'stop':
    case 'eos':
    case 'end_turn':
      return 'stop'
    case 'length':
    case 'max_tokens':
    case 'model_length':
      return 'length'
    case 'tool_calls':
    case 'function_call':
      return 'tool-calls'
    case 'content_filter':
      return 'content-filter'
    case 'error':
      return 'error'
    default:
      return 'other'
  }
}

/** Usage of a chat reply. xAI counts reasoning beside the completion; its total tells. */
export function chatUsage(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const usage = value as Record<string, number | undefined> & {
    prompt_tokens_details?: { cached_tokens?: number } | null
    completion_tokens_details?: { reasoning_tokens?: number } | null
  }
  const { prompt_tokens: input, completion_tokens: completion, total_tokens: total } = usage
  const cached =
    usage.prompt_tokens_details?.cached_tokens ?? usage['prompt_cache_hit_tokens'] ?? usage['cached_tokens']
  const reasoning = usage.completion_tokens_details?.reasoning_tokens
  const isBeside =
    reasoning && input !== undefined && completion !== undefined && total === input + completion + reasoning
  const output = isBeside ? completion + reasoning : completion
  return {
    ...(typeof input === 'number' ? { inputTokens: input } : {}),
    ...(typeof output === 'number' ? { outputTokens: output } : {}),
    ...(typeof cached === 'number' ? { cachedInputTokens: cached } : {}),
    ...(typeof reasoning === 'number' ? { reasoningTokens: reasoning } : {}),
  }
}
