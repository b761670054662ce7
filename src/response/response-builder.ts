/** Builds the response of a reply from its chunks. At any time it gives the response of the chunks so far. */
import type { ChatRequest, ProviderChunk, ReportedUsage } from '../provider.ts'
import { estimateInputTokens, estimateTokens, scaleForModel } from '../tokens/count-tokens.ts'
import type { FinishReason, GenerateResponse, Usage, AssistantPart, Timing, Warning } from '../types.ts'
import { MessageParts, pieceOf } from './message-parts.ts'

/** The facts about a request that its response needs. */
export interface RequestInfo {
  /** The model that was requested. */
  model: string
  /** An estimate of the input tokens, for a reply whose vendor did not report them. */
  inputTokens(): number
}

/** A builder for the reply to a request. */
export function responseBuilderFor(provider: string, request: ChatRequest): ResponseBuilder {
  return new ResponseBuilder(provider, {
    model: request.model,
    inputTokens: () => estimateInputTokens(request),
  })
}

export class ResponseBuilder {
  readonly #provider: string
  readonly #requestInfo: RequestInfo
  #id = ''
  #model: string
  readonly #parts = new MessageParts()
  #refusal = ''
  /** The argument text of all tool calls, for the estimate. */
  #argumentText = ''
  #usage: ReportedUsage = {}
  #estimatedInput: number | undefined
  /** The length of the content that was estimated so far, and its tokens. */
  #estimatedContent = { length: 0, tokens: 0 }
  #rawFinishReason: string | undefined
  #raw: unknown
  #hasBegun = false
  #hasFinished = false

  constructor(provider: string, requestInfo: RequestInfo) {
    this.#provider = provider
    this.#requestInfo = requestInfo
    this.#model = requestInfo.model
  }

  /** Whether the vendor has sent any part of a reply. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  add(chunk: ProviderChunk): void {
    this.#hasBegun = true
    const piece = pieceOf(chunk, this.#provider)
    if (piece) this.#parts.add(piece)
    switch (chunk.type) {
      case 'start':
        if (chunk.id) this.#id = chunk.id
        if (chunk.model) this.#model = chunk.model
        break
      case 'text':
      case 'reasoning':
      case 'tool-call-start':
      case 'tool-call':
      case 'tool-result':
        break
      case 'refusal':
        this.#refusal += chunk.refusal
        break
      case 'tool-call-delta':
        this.#argumentText += chunk.argumentsDelta
        break
      case 'usage':
        Object.assign(this.#usage, chunk.usage)
        break
      case 'finish':
        this.#hasFinished = true
        Object.assign(this.#usage, chunk.usage)
        this.#rawFinishReason = chunk.rawFinishReason
        this.#raw = chunk.raw
        break
      default:
        chunk satisfies never
    }
  }

  /**
   * The response of the chunks so far. `usage.source` says whether its usage is the vendor's or an estimate.
   * @param more.consumed whether the request cost tokens; a refused request did not. @default true
   */
  response(
    finishReason: FinishReason,
    more: Pick<GenerateResponse, 'timing' | 'warnings'> & { consumed?: boolean },
  ): GenerateResponse {
    // A finished reply stays complete when the call fails after it, such as for a reply that does not fit its schema.
    const isComplete = this.#hasFinished || (finishReason !== 'cancelled' && finishReason !== 'error')
    const wasConsumed = more.consumed ?? true
    return responseFromParts(this.#parts.all, {
      provider: this.#provider,
      model: this.#model,
      id: this.#id,
      finishReason,
      rawFinishReason: this.#rawFinishReason,
      refusal: this.#refusal || undefined,
      usage: wasConsumed ? this.#usageSoFar(isComplete) : undefined,
      timing: more.timing,
      warnings: more.warnings,
      raw: this.#raw,
    })
  }

  /** The output of an incomplete reply is estimated, because vendors report their counts only at the end. */
  #usageSoFar(isComplete: boolean): Usage {
    const reported = this.#usage
    const input = reported.inputTokens ?? (this.#estimatedInput ??= this.#requestInfo.inputTokens())
    const output =
      isComplete && reported.outputTokens !== undefined
        ? reported.outputTokens
        : Math.max(reported.outputTokens ?? 0, this.#estimateOutput())
    const { cachedInputTokens, cacheWriteInputTokens, reasoningTokens } = reported
    const isReported = isComplete && reported.inputTokens !== undefined && reported.outputTokens !== undefined
    return {
      inputTokens: input,
      outputTokens: output,
      totalTokens: input + output,
      ...(cachedInputTokens === undefined ? {} : { cachedInputTokens }),
      ...(cacheWriteInputTokens === undefined ? {} : { cacheWriteInputTokens }),
      ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
      source: isReported ? 'provider' : 'estimated',
    }
  }

  /** Estimates only the content that is new since the last estimate, because a long text costs milliseconds. */
  #estimateOutput(): number {
    const { length, tokens } = this.#estimatedContent
    const content = this.#parts.textOf('text')
    const added = estimateTokens(content.slice(length))
    this.#estimatedContent = { length: content.length, tokens: tokens + added }
    const others = estimateTokens(this.#parts.textOf('reasoning') + this.#refusal + this.#argumentText)
    return scaleForModel(tokens + added + others, this.#requestInfo.model)
  }
}

/** Whether a chunk carries a piece of the reply. The other chunks only show that the vendor is working. */
export function isContentChunk(chunk: ProviderChunk): boolean {
  switch (chunk.type) {
    case 'start':
    case 'usage':
    case 'finish':
      return false
    case 'text':
      return chunk.content !== '' || chunk.signature !== undefined
    default:
      return true
  }
}

/** The facts of a reply beside the parts of its message. */
export interface ResponseFacts {
  provider: string
  model: string
  /** @default 'other' */
  finishReason?: FinishReason | undefined
  rawFinishReason?: string | undefined
  refusal?: string | undefined
  /** @default no tokens, marked as an estimate */
  usage?: Usage | undefined
  costUsd?: number | undefined
  /** @default '' */
  id?: string | undefined
  /** @default no requests and no time */
  timing?: Timing | undefined
  /** @default none */
  warnings?: Warning[] | undefined
  raw?: unknown
}

export function responseFromParts(parts: AssistantPart[], facts: ResponseFacts): GenerateResponse {
  const { provider, model, finishReason = 'other', rawFinishReason, refusal, usage, costUsd } = facts
  const { id = '', timing, warnings = [], raw } = facts
  const reasoning = textOf(parts, 'reasoning')
  return {
    content: textOf(parts, 'text'),
    ...(reasoning ? { reasoning } : {}),
    ...(refusal === undefined ? {} : { refusal }),
    toolCalls: parts.flatMap((part) => {
      if (part.type !== 'tool-call') return []
      const { type: _type, ...call } = part
      return [call]
    }),
    finishReason,
    ...(rawFinishReason === undefined ? {} : { rawFinishReason }),
    usage: usage ?? { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'estimated' },
    ...(costUsd === undefined ? {} : { costUsd }),
    provider,
    model,
    id,
    timing: timing ?? { firstChunkMs: 0, totalMs: 0, attempts: 0 },
    warnings,
    message: { role: 'assistant', content: parts },
    raw,
  }
}

function textOf(parts: readonly AssistantPart[], type: 'text' | 'reasoning'): string {
  let joined = ''
  for (const part of parts) if (part.type === type) joined += part.text
  return joined
}

/** The response of a call without a reply, such as one that has not reached its vendor. */
export function emptyResponse(facts: ResponseFacts): GenerateResponse {
  return responseFromParts([], facts)
}
