/**
 * Maps the events and the whole replies of OpenAI's chat completions, and of compatible servers, to chunks.
 *
 * Room `providers/openai`: the client, requests and events of OpenAI and of compatible servers. Imported by
 * `providers`.
 */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { finishChunk, reportedUsage, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { Fields } from '../shared/fields.ts'
import type { Dialect } from '../shared/presets.ts'
import { ToolCalls } from '../shared/tool-calls.ts'

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

/** An event of the first choice with text and nothing else, in the form of OpenAI and most compatible servers. */
const plainText =
  // eslint-disable-next-line no-control-regex -- JSON forbids control characters inside a string
  /^\{"id":"[^"\\\u0000-\u001f]*","object":"chat\.completion\.chunk","created":[1-9]\d*,"model":"[^"\\\u0000-\u001f]*",(?:"(?:service_tier|system_fingerprint)":(?:null|"[^"\\\u0000-\u001f]*"),)*"choices":\[\{"index":0,"delta":\{"content":"([^"\\\u0000-\u001f]+)"\},(?:"logprobs":null,)?"finish_reason":null\}\](?:,"usage":null)?(?:,"obfuscation":"[^"\\\u0000-\u001f]*")?\}$/

/** Maps the events of a stream. A whole reply is mapped as a single event. */
export class ChatEventMapper implements EventMapper {
  readonly #labels: ReplyLabels
  readonly #needsDone: boolean
  readonly #calls: ToolCalls
  #isStarted = false
  #hasChoice = false
  /** The vendor's finish reason. */
  #rawFinishReason: string | undefined
  #usage: ReportedUsage | undefined
  #raw: unknown

  constructor(labels: ReplyLabels, dialect: Dialect) {
    this.#labels = labels
    this.#needsDone = dialect.needsDone
    this.#calls = new ToolCalls(labels.provider)
  }

  /** Undefined before the first choice, because `done` has to know whether a choice came. */
  get plainText(): RegExp | undefined {
    return this.#hasChoice ? plainText : undefined
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    this.#raw = raw
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      chunks.push(startChunk(body['id'], body['model']))
    }
    const choices = (body['choices'] as (Choice | null)[] | null | undefined) ?? []
    // Kimi reports usage in the choice, and Groq in a field of its own.
    const usage = usageOf(body['usage'] ?? choices[0]?.usage ?? asFields(body['x_groq'])['usage'])
    if (usage) {
      this.#usage = usage
      chunks.push({ type: 'usage', content: '', usage })
    }
    for (const choice of choices) {
      // Further choices (vendor: { n }) are only in `raw`.
      if (!choice || choice.index) continue
      this.#hasChoice = true
      chunks.push(...this.#delta(choice.delta ?? choice.message ?? {}))
      if (choice.finish_reason) this.#rawFinishReason = choice.finish_reason
    }
    return chunks
  }

  done(): ProviderChunk[] {
    // Some gateways end every stream with [DONE], even when no reply came.
    if (!this.#hasChoice) throw this.#error('stream_truncated', 'The stream ended without a reply.')
    return this.#finishChunks()
  }

  end(): ProviderChunk[] {
    // `[DONE]` is the terminal event of OpenAI and of every server with a preset. Some other servers leave it out;
    // there, the finish reason ends the reply.
    if (this.#rawFinishReason && !this.#needsDone) return this.#finishChunks()
    throw this.#error('stream_truncated', 'The stream ended without its terminal event [DONE].')
  }

  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!Array.isArray(body['choices']) || body['choices'].length === 0) {
      throw this.#error('malformed_response', 'The reply has no choices.')
    }
    return [...this.event(body, raw), ...this.#finishChunks()]
  }

  #delta(delta: Delta): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    const { text, thinking } = splitContent(delta.content)
    const reasoning = thinking || textOf(delta.reasoning_content) || textOf(delta.reasoning)
    if (reasoning) chunks.push({ type: 'reasoning', content: '', reasoning })
    if (text) chunks.push({ type: 'text', content: text })
    if (delta.refusal) chunks.push({ type: 'refusal', content: '', refusal: delta.refusal })
    if (delta.function_call) chunks.push(...this.#calls.delta({ index: 0, ...delta.function_call }))
    for (const part of [delta.tool_calls ?? []].flat()) if (part) chunks.push(...this.#toolCall(part))
    return chunks
  }

  #toolCall({ id, index, function: call, custom, extra_content: extra }: ToolCallFields): ProviderChunk[] {
    if (custom) return this.#calls.delta({ id, index, name: custom.name, arguments: custom.input }, 'text')
    const signature = extra?.google?.thought_signature
    return this.#calls.delta({ id, index, name: call?.name, arguments: call?.arguments, signature })
  }

  #finishChunks(): ProviderChunk[] {
    const raw = this.#rawFinishReason
    const reason = raw ? finishReasonOf(raw) : 'other'
    const isCut = reason === 'length' || reason === 'content-filter'
    const calls = this.#calls.complete(undefined, raw, isCut)
    // OpenAI ends a forced call with 'stop', and some servers send no reason.
    const mayEndWithCalls = reason === 'stop' || !raw
    const finishReason = mayEndWithCalls && calls.length > 0 ? 'tool-calls' : reason
    return [...calls, finishChunk(finishReason, raw, this.#usage, this.#raw)]
  }

  #error(code: 'malformed_response' | 'stream_truncated', message: string): ConvokeError {
    return new ConvokeError(code, message, this.#labels)
  }
}

/** The text and the thinking of a content: a string, or (Mistral) a list of parts, whose thinking parts hold lists. */
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

/** xAI counts reasoning separately from the completion, which only its total shows. */
function usageOf(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const usage = value as Fields
  const { prompt_tokens: input, completion_tokens: completion, total_tokens: total } = usage
  const { cached_tokens: cached } = asFields(usage['prompt_tokens_details'])
  const { reasoning_tokens: reasoning } = asFields(usage['completion_tokens_details'])
  const isSeparate =
    typeof input === 'number' &&
    typeof completion === 'number' &&
    typeof reasoning === 'number' &&
    reasoning > 0 &&
    total === input + completion + reasoning
  return reportedUsage({
    inputTokens: input,
    outputTokens: isSeparate ? completion + reasoning : completion,
    cachedInputTokens: cached ?? usage['prompt_cache_hit_tokens'] ?? usage['cached_tokens'],
    reasoningTokens: reasoning,
  })
}
