/** What of a stream had come when the thread that read it was lost: that thread can tell no more. */
import { ConvokeError } from '../errors.ts'
import { estimateTokens, scaled } from '../tokens.ts'
import type { AssistantPart, GenerateResponse, StreamChunk, ToolCall } from '../types.ts'

/** Who was asked, and about how much. */
export interface Asked {
  provider: string
  model: string | undefined
  inputTokens(): number
}

export class Arrived {
  readonly #asked: Asked
  readonly #startedAtMs = performance.now()
  #firstAtMs: number | undefined
  #id = ''
  #model: string | undefined
  #content = ''
  #reasoning = ''
  #toolCalls: ToolCall[] = []

  constructor(asked: Asked) {
    this.#asked = asked
  }

  add(chunk: StreamChunk): void {
    switch (chunk.type) {
      case 'start':
        this.#id = chunk.id ?? ''
        this.#model = chunk.model
        return
      case 'reset':
        this.#content = ''
        this.#reasoning = ''
        this.#toolCalls = []
        return
      case 'reasoning':
        this.#reasoning += chunk.reasoning
        break
      case 'tool-call':
        this.#toolCalls.push(chunk.toolCall)
        break
      default:
        this.#content += chunk.content
    }
    this.#firstAtMs ??= performance.now()
  }

  /** The error as the async side would have told it. */
  told(error: ConvokeError): ConvokeError {
    if (error.partial) return error
    const { code, message, cause, name: _name, ...fields } = error
    const { provider, model = this.#asked.model } = { provider: this.#asked.provider, model: this.#model }
    const partial = this.#partial(provider, model ?? '')
    const told = { ...fields, attempts: 1, cause, provider, ...(model ? { model } : {}), partial }
    return new ConvokeError(code, message, told)
  }

  #partial(provider: string, model: string): GenerateResponse {
    const now = performance.now()
    const output = scaled(estimateTokens(this.#content) + estimateTokens(this.#reasoning), model)
    const input = this.#asked.inputTokens()
    const parts: AssistantPart[] = [
      ...(this.#reasoning ? [{ type: 'reasoning', text: this.#reasoning, provider } as const] : []),
      ...(this.#content ? [{ type: 'text', text: this.#content } as const] : []),
      ...this.#toolCalls.map((call) => ({ type: 'tool-call', ...call }) as const),
    ]
    return {
      content: this.#content,
      ...(this.#reasoning ? { reasoning: this.#reasoning } : {}),
      toolCalls: [...this.#toolCalls],
      finishReason: 'error',
      usage: {
        inputTokens: input,
        outputTokens: output,
        totalTokens: input + output,
        source: 'estimated',
      },
      provider,
      model,
      id: this.#id,
      timing: {
        firstChunkMs: (this.#firstAtMs ?? now) - this.#startedAtMs,
        totalMs: now - this.#startedAtMs,
        attempts: 1,
      },
      warnings: [],
      message: { role: 'assistant', content: parts },
      raw: undefined,
    }
  }
}
