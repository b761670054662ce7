/** Folds the chunks of a reply into a response; of a broken one, as much as came. */
import type { ChatRequest, ProviderChunk, ReportedUsage } from '../provider.ts'
import { pieceOf, MessageParts } from './message-parts.ts'
import { estimateInputTokens, estimateTokens, scaleForModel } from '../tokens/count-tokens.ts'
import type { FinishReason, GenerateResponse, ToolCall, Usage } from '../types.ts'

/** What was asked. */
export interface RequestInfo {
  model: string
  /** Estimated, where the vendor has not told. */
  inputTokens(): number
}

/** Of what answers a request. */
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
  #toolCalls: ToolCall[] = []
  /** Argument text of calls that are not whole yet, for the estimate. */
  #openArguments = ''
  #usage: ReportedUsage = {}
  #estimatedInput: number | undefined
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

  /** Whether the vendor sent anything of a reply. */
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
      case 'tool-result':
        break
      case 'refusal':
        this.#refusal += chunk.refusal
        break
      case 'tool-call-delta':
        this.#openArguments += chunk.argumentsDelta
        break
      case 'tool-call':
        this.#toolCalls.push(chunk.toolCall)
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

  /** The reply so far. Whether usage is the vendor's or an estimate is for `usage.source` to say. */
  response(
    finishReason: FinishReason,
    more: Pick<GenerateResponse, 'timing' | 'warnings'> & { consumed?: boolean },
  ): GenerateResponse {
    // What comes behind the end (a reply that does not fit its schema) changes nothing of what the vendor said.
    const isWhole = this.#hasFinished || (finishReason !== 'cancelled' && finishReason !== 'error')
    const reasoning = this.#parts.textOf('reasoning')
    return {
      content: this.#parts.textOf('text'),
      ...(reasoning ? { reasoning } : {}),
      ...(this.#refusal ? { refusal: this.#refusal } : {}),
      toolCalls: [...this.#toolCalls],
      finishReason,
      ...(this.#rawFinishReason === undefined ? {} : { rawFinishReason: this.#rawFinishReason }),
      usage: this.#usageSoFar(isWhole, more.consumed ?? true),
      provider: this.#provider,
      model: this.#model,
      id: this.#id,
      timing: more.timing,
      warnings: more.warnings,
      message: { role: 'assistant', content: this.#parts.all },
      raw: this.#raw,
    }
  }

  /** What a broken reply cost is estimated: vendors tell only at the end. A refused request cost nothing. */
  #usageSoFar(isWhole: boolean, wasConsumed: boolean): Usage {
    const told = this.#usage
    if (!wasConsumed) return { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'estimated' }
    const input = told.inputTokens ?? (this.#estimatedInput ??= this.#requestInfo.inputTokens())
    const output =
      isWhole && told.outputTokens !== undefined
        ? told.outputTokens
        : Math.max(told.outputTokens ?? 0, this.#estimateOutput())
    const isTold = isWhole && told.inputTokens !== undefined && told.outputTokens !== undefined
    return {
      inputTokens: input,
      outputTokens: output,
      totalTokens: input + output,
      ...(told.cachedInputTokens === undefined ? {} : { cachedInputTokens: told.cachedInputTokens }),
      ...(told.cacheWriteInputTokens === undefined
        ? {}
        : { cacheWriteInputTokens: told.cacheWriteInputTokens }),
      ...(told.reasoningTokens === undefined ? {} : { reasoningTokens: told.reasoningTokens }),
      source: isTold ? 'provider' : 'estimated',
    }
  }

  /** Of the text, only what came since the last time is estimated: a long one costs milliseconds. */
  #estimateOutput(): number {
    const { length, tokens } = this.#estimatedContent
    const content = this.#parts.textOf('text')
    const added = estimateTokens(content.slice(length))
    this.#estimatedContent = { length: content.length, tokens: tokens + added }
    const beside = estimateTokens(this.#parts.textOf('reasoning') + this.#refusal + this.#openArguments)
    return scaleForModel(tokens + added + beside, this.#requestInfo.model)
  }
}

/** Whether a chunk carries something of the reply; the others only tell that the vendor lives. */
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
