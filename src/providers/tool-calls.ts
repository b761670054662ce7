/** Puts streamed tool calls together, however sloppily a server numbers its deltas. */
import { randomUUID } from 'node:crypto'
import { ConvokeError } from '../errors.ts'
import type { ToolCall } from '../types.ts'
import type { ProviderChunk } from './provider.ts'

export interface ToolCallDelta {
  id?: string | null | undefined
  index?: number | null | undefined
  name?: string | null | undefined
  /** JSON text, or a value already parsed. */
  arguments?: unknown
  signature?: string | undefined
}

interface OpenCall {
  id: string
  /** Whether the id is the vendor's. */
  isIdKnown: boolean
  index: number | undefined
  name: string
  text: string
  signature: string | undefined
  isStarted: boolean
  isComplete: boolean
  /** Free-form text (OpenAI's custom tools), not JSON. */
  isText: boolean
}

export class ToolCalls {
  readonly #provider: string
  readonly #calls: OpenCall[] = []

  constructor(provider: string) {
    this.#provider = provider
  }

  get size(): number {
    return this.#calls.length
  }

  /**
   * Adds a piece. A piece belongs to the call of its id, else of its index, else to the call that is open; one with a
   * new id, or with a name and no call to belong to, begins a call. Gives the chunks to deliver.
   */
  delta(delta: ToolCallDelta, kind: 'json' | 'text' = 'json'): ProviderChunk[] {
    const call = this.#find(delta) ?? this.#open(delta, kind)
    if (delta.id && !call.isIdKnown && !call.isStarted) Object.assign(call, { id: delta.id, isIdKnown: true })
    if (delta.name && !call.name) call.name = delta.name
    if (delta.signature) call.signature = delta.signature
    const chunks: ProviderChunk[] = []
    if (!call.isStarted && call.name) {
      call.isStarted = true
      chunks.push({ type: 'tool-call-start', content: '', id: call.id, name: call.name })
      if (call.text)
        chunks.push({ type: 'tool-call-delta', content: '', id: call.id, argumentsDelta: call.text })
    }
    const piece = asText(delta.arguments)
    if (piece) {
      call.text += piece
      if (call.isStarted)
        chunks.push({ type: 'tool-call-delta', content: '', id: call.id, argumentsDelta: piece })
    }
    return chunks
  }

  /** Replaces what the pieces gave by the vendor's own whole text, where it sends one at the end. */
  settle(id: string, text: string): void {
    const call = this.#calls.find((candidate) => candidate.id === id)
    if (call) call.text = text
  }

  /**
   * Ends one call, or all that are still open. `why` is the vendor's finish reason, for the error.
   * @throws ConvokeError `malformed_response` when the arguments are no JSON: a call that was cut off must not look whole
   */
  complete(which?: { id?: string | undefined; index?: number | undefined }, why?: string): ProviderChunk[] {
    const ending = which ? [this.#find(which)] : this.#calls
    return ending.flatMap((call) => {
      if (!call || call.isComplete) return []
      call.isComplete = true
      const start: ProviderChunk[] = call.isStarted
        ? []
        : [{ type: 'tool-call-start', content: '', id: call.id, name: call.name }]
      return [...start, { type: 'tool-call', content: '', toolCall: this.#toolCall(call, why) }]
    })
  }

  #toolCall(call: OpenCall, why: string | undefined): ToolCall {
    const { id, name, text, signature } = call
    let parsed: unknown = text
    if (!call.isText) {
      try {
        parsed = text.trim() === '' ? {} : JSON.parse(text)
      } catch (cause) {
        const end = why ? ` The reply ended with '${why}'; a higher maxTokens may help.` : ''
        throw new ConvokeError(
          'malformed_response',
          `The arguments of the tool call ${name || id} are not whole JSON: ${text.slice(0, 120)}.${end}`,
          { provider: this.#provider, cause },
        )
      }
    }
    return { id, name, arguments: parsed, ...(signature ? { signature } : {}) }
  }

  #find(delta: ToolCallDelta): OpenCall | undefined {
    const latest = this.#calls.at(-1)
    if (delta.id) {
      const known = this.#calls.findLast((call) => call.isIdKnown && call.id === delta.id)
      if (known) return known
      // An id that comes after its call's first piece.
      const same = this.#ofIndex(delta.index)
      return same && !same.isIdKnown && !same.isStarted ? same : undefined
    }
    if (typeof delta.index === 'number') {
      const same = this.#ofIndex(delta.index)
      // Some servers give every call of a turn the index 0: a name after whole arguments begins another call.
      if (same && delta.name && asText(delta.arguments) && isWholeJson(same.text)) return undefined
      if (same || delta.name) return same
    }
    return delta.name || latest?.isComplete ? undefined : latest
  }

  #ofIndex(index: number | null | undefined): OpenCall | undefined {
    return typeof index === 'number' ? this.#calls.findLast((call) => call.index === index) : undefined
  }

  #open(delta: ToolCallDelta, kind: 'json' | 'text'): OpenCall {
    const call: OpenCall = {
      id: delta.id || `call_${randomUUID()}`,
      isIdKnown: Boolean(delta.id),
      index: delta.index ?? undefined,
      name: '',
      text: '',
      signature: undefined,
      isStarted: false,
      isComplete: false,
      isText: kind === 'text',
    }
    this.#calls.push(call)
    return call
  }
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function isWholeJson(text: string): boolean {
  if (!text.trim()) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
