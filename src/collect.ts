/** Folds the chunks of a reply into a response; of a broken one, as much as came. */
import type { ChatRequest, ProviderChunk, ReportedUsage } from './providers/provider.ts'
import { GrowingText } from './transport/growing-text.ts'
import { estimateInputTokens, estimateTokens } from './tokens.ts'
import type {
  AssistantPart,
  FinishReason,
  GenerateResponse,
  ReasoningPart,
  ToolCall,
  Usage,
} from './types.ts'

/** A text part while it grows: its place in the whole content. */
interface TextSpan {
  type: 'span'
  from: number
  to: number
  signature?: string
}

export class Collector {
  readonly #provider: string
  readonly #request: ChatRequest
  #id = ''
  #model: string
  readonly #content = new GrowingText()
  #reasoning = ''
  #refusal = ''
  #toolCalls: ToolCall[] = []
  #parts: (Exclude<AssistantPart, { type: 'text' }> | TextSpan)[] = []
  /** The reasoning part that further reasoning still belongs to. */
  #openReasoning: ReasoningPart | undefined
  /** Argument text of calls that are not whole yet, for the estimate. */
  #openArguments = ''
  #usage: ReportedUsage = {}
  #estimatedInput: number | undefined
  #estimatedContent = { length: 0, tokens: 0 }
  #rawFinishReason: string | undefined
  #raw: unknown
  #hasBegun = false

  constructor(provider: string, request: ChatRequest) {
    this.#provider = provider
    this.#request = request
    this.#model = request.model
  }

  /** Whether the vendor sent anything of a reply. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  add(chunk: ProviderChunk): void {
    this.#hasBegun = true
    switch (chunk.type) {
      case 'start':
        if (chunk.id) this.#id = chunk.id
        if (chunk.model) this.#model = chunk.model
        break
      case 'text':
        this.#text(chunk.content, chunk.signature)
        break
      case 'reasoning':
        this.#think(chunk)
        break
      case 'refusal':
        this.#refusal += chunk.refusal
        break
      case 'tool-call-start':
      case 'tool-result':
        break
      case 'tool-call-delta':
        this.#openArguments += chunk.argumentsDelta
        break
      case 'tool-call':
        this.#openReasoning = undefined
        this.#toolCalls.push(chunk.toolCall)
        this.#parts.push({ type: 'tool-call', ...chunk.toolCall })
        break
      case 'usage':
        Object.assign(this.#usage, chunk.usage)
        break
      case 'finish':
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
    const isWhole = finishReason !== 'cancelled' && finishReason !== 'error'
    const content = this.#content.text
    return {
      content,
      ...(this.#reasoning ? { reasoning: this.#reasoning } : {}),
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
      message: { role: 'assistant', content: this.#parts.map((part) => partOf(part, content)) },
      raw: this.#raw,
    }
  }

  #text(text: string, signature: string | undefined): void {
    // A sign of life is no text: it parts nothing.
    if (text === '' && !signature) return
    this.#openReasoning = undefined
    const from = this.#content.length
    this.#content.add(text)
    const last = this.#parts.at(-1)
    if (last?.type === 'span' && last.signature === undefined) {
      last.to += text.length
      if (signature) last.signature = signature
    } else {
      this.#parts.push({ type: 'span', from, to: from + text.length, ...(signature ? { signature } : {}) })
    }
  }

  #think(chunk: Extract<ProviderChunk, { type: 'reasoning' }>): void {
    const { reasoning, signature, redacted, id } = chunk
    this.#reasoning += reasoning
    const isOther = id !== undefined && this.#openReasoning?.id !== undefined && id !== this.#openReasoning.id
    if (!this.#openReasoning || isOther) {
      this.#openReasoning = { type: 'reasoning', text: '', provider: this.#provider }
      this.#parts.push(this.#openReasoning)
    }
    const part = this.#openReasoning
    part.text += reasoning
    if (id) part.id = id
    if (redacted) part.redacted = true
    if (signature) {
      part.signature = signature
      this.#openReasoning = undefined
    }
  }

  /** What a broken reply cost is estimated: vendors tell only at the end. A refused request cost nothing. */
  #usageSoFar(isWhole: boolean, wasConsumed: boolean): Usage {
    const told = this.#usage
    if (!wasConsumed) return { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'estimated' }
    const input = told.inputTokens ?? (this.#estimatedInput ??= estimateInputTokens(this.#request))
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
    const content = this.#content.text
    const added = estimateTokens(content.slice(length))
    this.#estimatedContent = { length: content.length, tokens: tokens + added }
    return tokens + added + estimateTokens(this.#reasoning + this.#refusal + this.#openArguments)
  }
}

function partOf(part: Exclude<AssistantPart, { type: 'text' }> | TextSpan, content: string): AssistantPart {
  if (part.type !== 'span') return { ...part }
  const { from, to, signature } = part
  return { type: 'text', text: content.slice(from, to), ...(signature ? { signature } : {}) }
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
