/** Gemini's events, and whole replies, as chunks. */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { EventMapper } from '../shared/chunk-reader.ts'
import { FunctionCalls } from './function-calls.ts'
import type { FunctionCallFields } from './function-calls.ts'
import { signOfLife } from '../shared/mapping.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import type { Fields } from './request.ts'

interface Candidate {
  index?: number
  content?: { role?: string; parts?: unknown } | null
  finishReason?: string | null
}

interface PartFields {
  text?: unknown
  thought?: boolean
  thoughtSignature?: string
  functionCall?: FunctionCallFields | null
}

/** Folds the events of a stream, and, as one event, a whole reply. */
export class ContentEventMapper implements EventMapper {
  readonly #name: string
  readonly #model: string
  readonly #calls: FunctionCalls
  #isStarted = false
  /** Whether an event showed a server that gives a finish reason at the end. */
  #marksEnd = false
  #finish: string | undefined
  #usage: Fields = {}
  #raw: unknown

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new FunctionCalls(name)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    this.#raw = raw
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) chunks.push(startChunk(body))
    this.#isStarted = true
    const candidates = asList(body['candidates']) as Candidate[]
    this.#throwIfBlocked(body, candidates)
    chunks.push(...this.#usageChunks(body['usageMetadata']))
    // Further candidates (vendor: { generationConfig: { candidateCount } }) are in `raw` alone.
    const candidate = candidates.find(({ index }) => !index)
    for (const part of asList(candidate?.content?.parts)) chunks.push(...this.#part(part as PartFields))
    const finish = candidate?.finishReason
    // Vertex AI writes out the default of the field.
    if (finish && finish !== 'FINISH_REASON_UNSPECIFIED') this.#finish = finish
    this.#marksEnd ||= Boolean(
      candidate?.content?.role || body['usageMetadata'] || body['modelVersion'] || body['responseId'],
    )
    // Code that runs at the vendor's, a picture: nothing to show, but a sign of life. Counts alone are none.
    return chunks.length > 0 || asList(candidate?.content?.parts).length === 0 ? chunks : [signOfLife]
  }

  /** Not a word of Gemini's, but some proxies add it. */
  done(): ProviderChunk[] {
    return []
  }

  /**
   * Text may follow a finish reason (older servers put STOP on every event), so only the end of the connection ends
   * the reply. A compromise: where neither a finish reason nor anything else that Gemini sends was seen, the end of the
   * connection counts as the end of the reply, since servers of the PaLM era give no finish reason at all. A stream of
   * theirs that breaks between two events cannot be told from a whole one.
   */
  end(isCut: boolean): ProviderChunk[] {
    const isWhole = this.#isStarted && (this.#finish !== undefined || !this.#marksEnd)
    if (isWhole && !isCut) return this.#finishChunks()
    throw new ConvokeError('stream_truncated', 'The stream ended without a finish reason.', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. Its JSON shows that it is one, so it may lack a finish reason. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    return [...this.event(body, raw), ...this.#finishChunks()]
  }

  #throwIfBlocked(body: Fields, candidates: readonly Candidate[]): void {
    const feedback = body['promptFeedback'] as Fields | null | undefined
    if (!feedback?.['blockReason'] || candidates.length > 0) return
    const detail = feedback['blockReasonMessage'] ? ` (${String(feedback['blockReasonMessage'])})` : ''
    throw new ConvokeError(
      'content_filtered',
      `Gemini blocked the prompt: ${String(feedback['blockReason'])}${detail}. Change the prompt or safetySettings.`,
      { provider: this.#name, model: this.#model },
    )
  }

  /** Counts are totals so far; the first events have some of them, or none. */
  #usageChunks(counts: unknown): ProviderChunk[] {
    if (typeof counts !== 'object' || counts === null) return []
    this.#usage = { ...this.#usage, ...counts }
    const usage = contentUsage(this.#usage)
    return Object.keys(usage).length > 0 ? [{ type: 'usage', content: '', usage }] : []
  }

  #part(part: PartFields): ProviderChunk[] {
    const { text, thought, thoughtSignature, functionCall: call } = part
    if (call) return this.#calls.add(call, thoughtSignature)
    // A signature may come on a part of its own.
    const isBare = Object.keys(part).every((key) => key === 'thought' || key === 'thoughtSignature')
    if (typeof text !== 'string' && !isBare) return []
    const content = typeof text === 'string' ? text : ''
    const signature = thoughtSignature ? { signature: thoughtSignature } : {}
    return thought
      ? [{ type: 'reasoning', content: '', reasoning: content, ...signature }]
      : [{ type: 'text', content, ...signature }]
  }

  #finishChunks(): ProviderChunk[] {
    const isCut = this.#finish !== undefined && this.#finish !== 'STOP'
    return [
      ...this.#calls.complete(isCut ? this.#finish : undefined),
      {
        type: 'finish',
        content: '',
        finishReason: finishReasonOf(this.#finish, this.#calls.size > 0),
        ...(this.#finish ? { rawFinishReason: this.#finish } : {}),
        usage: wholeUsage(this.#usage),
        raw: this.#raw,
      },
    ]
  }
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []
}

function startChunk({ responseId: id, modelVersion: model }: Fields): ProviderChunk {
  return {
    type: 'start',
    content: '',
    ...(typeof id === 'string' ? { id } : {}),
    ...(typeof model === 'string' && model ? { model } : {}),
  }
}

/** Gemini counts the input of its own tools beside the prompt, and thoughts beside the candidates. */
function contentUsage(counts: Fields): ReportedUsage {
  const count = (key: string) => (typeof counts[key] === 'number' ? counts[key] : undefined)
  const prompt = count('promptTokenCount')
  const candidates = count('candidatesTokenCount')
  const thoughts = count('thoughtsTokenCount')
  const cached = count('cachedContentTokenCount')
  return {
    ...(prompt === undefined ? {} : { inputTokens: prompt + (count('toolUsePromptTokenCount') ?? 0) }),
    ...(candidates === undefined && thoughts === undefined
      ? {}
      : { outputTokens: (candidates ?? 0) + (thoughts ?? 0) }),
    ...(cached === undefined ? {} : { cachedInputTokens: cached }),
    ...(thoughts === undefined ? {} : { reasoningTokens: thoughts }),
  }
}

/** The usage of a whole reply: a count of 0 is left out on the wire, but the total tells. */
function wholeUsage(counts: Fields): ReportedUsage {
  const usage = contentUsage(counts)
  const total = counts['totalTokenCount']
  if (usage.outputTokens !== undefined || usage.inputTokens === undefined || typeof total !== 'number') {
    return usage
  }
  return { ...usage, outputTokens: Math.max(0, total - usage.inputTokens) }
}

function finishReasonOf(raw: string | undefined, hasCalls: boolean): FinishReason {
  switch (raw) {
    case undefined:
      return hasCalls ? 'tool-calls' : 'other'
    case 'STOP':
      return hasCalls ? 'tool-calls' : 'stop'
    case 'MAX_TOKENS':
    case 'CONTINUATION':
      return 'length'
    case 'SAFETY':
    case 'RECITATION':
    case 'LANGUAGE':
    case 'BLOCKLIST':
    case 'PROHIBITED_CONTENT':
    case 'SPII':
    case 'MODEL_ARMOR':
    case 'IMAGE_SAFETY':
    case 'IMAGE_PROHIBITED_CONTENT':
    case 'IMAGE_RECITATION':
      return 'content-filter'
    case 'MALFORMED_FUNCTION_CALL':
    case 'MALFORMED_RESPONSE':
    case 'UNEXPECTED_TOOL_CALL':
    case 'TOO_MANY_TOOL_CALLS':
      return 'error'
    default:
      return 'other'
  }
}
