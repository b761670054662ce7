/**
 * Maps the events and the whole replies of Gemini to chunks.
 *
 * Room `providers/gemini`: Gemini's clients, requests and events. Imported by `providers`.
 */
import { ConvokeError } from '../../errors.ts'
import type { FinishReason } from '../../types.ts'
import type { ProviderChunk, ReportedUsage } from '../../provider.ts'
import { finishChunk, reportedUsage, signOfLife, startChunk } from '../shared/event-mapper.ts'
import type { EventMapper, ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { Fields } from '../shared/fields.ts'
import { FunctionCalls } from './function-calls.ts'
import type { FunctionCallPart } from './function-calls.ts'

interface Candidate {
  index?: number
  content?: { role?: string; parts?: unknown } | null
  finishReason?: string | null
}

interface PartFields {
  text?: unknown
  thought?: boolean
  thoughtSignature?: string
  functionCall?: FunctionCallPart | null
}

/** Maps the events of a stream. A whole reply is mapped as a single event. */
export class GeminiEventMapper implements EventMapper {
  readonly #labels: ReplyLabels
  readonly #calls: FunctionCalls
  #isStarted = false
  /** Whether an event has shown that this server sends a finish reason at the end. */
  #sendsFinishReason = false
  #finish: string | undefined
  #counts: Fields = {}
  #raw: unknown

  constructor(labels: ReplyLabels) {
    this.#labels = labels
    this.#calls = new FunctionCalls(labels.provider)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    this.#raw = raw
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) chunks.push(startChunk(body['responseId'], body['modelVersion']))
    this.#isStarted = true
    const candidates = objectsIn(body['candidates']) as Candidate[]
    this.#throwIfBlocked(body, candidates)
    chunks.push(...this.#usageChunks(body['usageMetadata']))
    // Further candidates (vendor: { generationConfig: { candidateCount } }) are only in `raw`.
    const candidate = candidates.find(({ index }) => !index)
    for (const part of objectsIn(candidate?.content?.parts)) chunks.push(...this.#part(part as PartFields))
    const finish = candidate?.finishReason
    // Vertex AI sends the field's default value too.
    if (finish && finish !== 'FINISH_REASON_UNSPECIFIED') this.#finish = finish
    this.#sendsFinishReason ||= Boolean(
      candidate?.content?.role || body['usageMetadata'] || body['modelVersion'] || body['responseId'],
    )
    // Parts without a chunk of their own (code that runs at the vendor's, an image) are a sign of life; counts are none.
    return chunks.length > 0 || objectsIn(candidate?.content?.parts).length === 0 ? chunks : [signOfLife]
  }

  /** Gemini sends no `[DONE]`, but some proxies add it. */
  done(): ProviderChunk[] {
    return []
  }

  /**
   * Only the end of the connection ends the reply, because text may follow a finish reason: older servers send STOP in
   * every event. Servers of the PaLM era send no finish reason at all. As a compromise, the end of the connection is
   * then taken for the end of the reply, if nothing else in the stream came from a newer server. So a stream of such an
   * old server that breaks between two events looks like a complete one.
   */
  end(isCut: boolean): ProviderChunk[] {
    const isWhole = this.#isStarted && (this.#finish !== undefined || !this.#sendsFinishReason)
    if (isWhole && !isCut) return this.#finishChunks()
    throw new ConvokeError('stream_truncated', 'The stream ended without a finish reason.', this.#labels)
  }

  /** A whole reply may lack a finish reason, because its JSON shows that it is complete. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    return [...this.event(body, raw), ...this.#finishChunks()]
  }

  #throwIfBlocked(body: Fields, candidates: readonly Candidate[]): void {
    const { blockReason: reason, blockReasonMessage: details } = asFields(body['promptFeedback'])
    if (!reason || candidates.length > 0) return
    const why = `${String(reason)}${details ? ` (${String(details)})` : ''}`
    throw new ConvokeError(
      'content_filtered',
      `Gemini blocked the prompt: ${why}. Change the prompt or safetySettings.`,
      this.#labels,
    )
  }

  /** The counts of an event are totals so far. The first events have some of the counts or none. */
  #usageChunks(counts: unknown): ProviderChunk[] {
    if (typeof counts !== 'object' || counts === null) return []
    this.#counts = { ...this.#counts, ...counts }
    const usage = usageOf(this.#counts)
    return Object.keys(usage).length > 0 ? [{ type: 'usage', content: '', usage }] : []
  }

  #part(part: PartFields): ProviderChunk[] {
    const { text, thought, thoughtSignature, functionCall: call } = part
    if (call) return this.#calls.add(call, thoughtSignature)
    // A signature may come in a part that has nothing else.
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
    const calls = this.#calls.complete(isCut ? this.#finish : undefined)
    const finishReason = finishReasonOf(this.#finish, this.#calls.size > 0)
    return [...calls, finishChunk(finishReason, this.#finish, wholeUsage(this.#counts), this.#raw)]
  }
}

/** The objects in a list; no objects when the value is no list. */
function objectsIn(value: unknown): unknown[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []
}

/** Gemini counts the input of its own tools separately from the prompt, and thoughts separately from the candidates. */
function usageOf(counts: Fields): ReportedUsage {
  const count = (key: string) => (typeof counts[key] === 'number' ? counts[key] : undefined)
  const prompt = count('promptTokenCount')
  const candidates = count('candidatesTokenCount')
  const thoughts = count('thoughtsTokenCount')
  const hasOutput = candidates !== undefined || thoughts !== undefined
  return reportedUsage({
    inputTokens: prompt === undefined ? undefined : prompt + (count('toolUsePromptTokenCount') ?? 0),
    outputTokens: hasOutput ? (candidates ?? 0) + (thoughts ?? 0) : undefined,
    cachedInputTokens: count('cachedContentTokenCount'),
    reasoningTokens: thoughts,
  })
}

/** The usage of a complete reply. Gemini leaves out a count of 0, so the missing output is taken from the total. */
function wholeUsage(counts: Fields): ReportedUsage {
  const usage = usageOf(counts)
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
