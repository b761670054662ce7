/** Puts streamed tool calls together, however sloppily a server numbers its deltas. */
import { randomUUID } from 'node:crypto'
import { ConvokeError } from '../../errors.ts'
import type { ToolCall, ToolDefinition } from '../../types.ts'
import type { ProviderChunk } from '../../provider.ts'

export interface ToolCallDelta {
  id?: string | number | null | undefined
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
  /** The last piece of the text that was not blank: its end tells cheaply that the text is not whole yet. */
  last: string
  signature: string | undefined
  isStarted: boolean
  isComplete: boolean
  /** Free-form text (OpenAI's custom tools), not JSON. */
  isText: boolean
}

/** An id for a call that has none: at most 40 characters, since OpenAI takes no more. */
export function makeCallId(): string {
  return `call_${randomUUID().replaceAll('-', '')}`
}

/** Whether an id was made here: it means nothing to the vendor that sent the call without one. */
export function isMadeUpId(id: string): boolean {
  return /^call_[0-9a-f]{32}$/.test(id)
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
   * new id and a name, or with a name and no call to belong to, begins a call. Gives the chunks to deliver.
   */
  delta(given: ToolCallDelta, kind: 'json' | 'text' = 'json'): ProviderChunk[] {
    // Some servers number their calls.
    const delta = typeof given.id === 'number' ? { ...given, id: String(given.id) } : given
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
      if (piece.trim()) call.last = piece
      if (call.isStarted)
        chunks.push({ type: 'tool-call-delta', content: '', id: call.id, argumentsDelta: piece })
    }
    return chunks
  }

  /** Replaces what the pieces gave by the vendor's own whole text, where it sends one at the end. */
  settle(id: string, text: string): void {
    const call = this.#calls.findLast((candidate) => candidate.id === id)
    if (call) Object.assign(call, { text, last: text })
  }

  /**
   * Ends one call, or all that are still open. `why` is the vendor's finish reason, for the error; `isCut` says that it
   * broke the reply off, so that a call without any argument text is not one without arguments.
   * @throws ConvokeError `malformed_response` when the arguments are no JSON: a call that was cut off must not look whole
   */
  complete(
    which?: { id?: string | undefined; index?: number | undefined },
    why?: string,
    isCut = false,
  ): ProviderChunk[] {
    const ending = which ? [this.#find(which)] : this.#calls
    return ending.flatMap((call) => {
      if (!call || call.isComplete) return []
      call.isComplete = true
      const start: ProviderChunk[] = call.isStarted
        ? []
        : [{ type: 'tool-call-start', content: '', id: call.id, name: call.name }]
      return [...start, { type: 'tool-call', content: '', toolCall: this.#toolCall(call, why, isCut) }]
    })
  }

  #toolCall(call: OpenCall, why: string | undefined, isCut: boolean): ToolCall {
    const { id, name, text, isText, signature } = call
    const isEmpty = text.trim() === ''
    if (isCut && isEmpty && !isText) throw this.#broken(call, why)
    let parsed: unknown = text
    if (!isText) {
      try {
        parsed = isEmpty ? {} : JSON.parse(text)
      } catch {
        throw this.#broken(call, why)
      }
    }
    return { id, name, arguments: parsed, ...(signature ? { signature } : {}) }
  }

  #broken({ id, name, text }: OpenCall, why: string | undefined): ConvokeError {
    const end = why ? ` The reply ended with '${why}'; a higher maxTokens may help.` : ''
    const message = `The arguments of the tool call ${name || id} are not whole JSON: ${text.slice(0, 120)}.${end}`
    return new ConvokeError('malformed_response', message, { provider: this.#provider })
  }

  #find(delta: ToolCallDelta): OpenCall | undefined {
    if (delta.id) {
      const known = this.#calls.findLast((call) => call.isIdKnown && call.id === delta.id)
      if (known) return this.#isRepeated(known, delta) ? undefined : known
      const same = this.#ofIndex(delta.index)
      // An id that comes after its call's first piece, or (older vLLM) another id in every piece.
      return same && !same.isComplete && (!delta.name || !(same.isIdKnown || same.isStarted))
        ? same
        : undefined
    }
    const same = this.#ofIndex(delta.index)
    if (same) return beginsAnother(same, delta) ? undefined : same
    const latest = this.#calls.at(-1)
    if (!latest || latest.isComplete) return undefined
    return !delta.name || (typeof delta.index !== 'number' && isAwaiting(latest, delta)) ? latest : undefined
  }

  /** Whether an id that is known stands for another call: some servers give all calls of a turn the same. */
  #isRepeated(known: OpenCall, delta: ToolCallDelta): boolean {
    if (!delta.name) return false
    return (
      known.isComplete || (isNumberedAnew(known, delta) && (beginsAnother(known, delta) || isWhole(known)))
    )
  }

  #ofIndex(index: number | null | undefined): OpenCall | undefined {
    return typeof index === 'number' ? this.#calls.findLast((call) => call.index === index) : undefined
  }

  #open(delta: ToolCallDelta, kind: 'json' | 'text'): OpenCall {
    const call: OpenCall = {
      id: delta.id ? String(delta.id) : makeCallId(),
      isIdKnown: Boolean(delta.id),
      index: delta.index ?? undefined,
      name: '',
      text: '',
      last: '',
      signature: undefined,
      isStarted: false,
      isComplete: false,
      isText: kind === 'text',
    }
    this.#calls.push(call)
    return call
  }
}

/**
 * Whether a call is one of a custom tool (OpenAI), whose input is free text: such tools come by `vendor`, so they are
 * not among `tools`. JSON text is an ordinary call whose arguments somebody forgot to parse.
 */
export function isCustomCall(call: ToolCall, tools: readonly ToolDefinition[] | undefined): boolean {
  const { name, arguments: input } = call
  return typeof input === 'string' && !isJsonObject(input) && !tools?.some((tool) => tool.name === name)
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Some servers give every call of a turn the same id and count the index alone. */
function isNumberedAnew(call: OpenCall, delta: ToolCallDelta): boolean {
  return typeof call.index === 'number' && typeof delta.index === 'number' && call.index !== delta.index
}

/**
 * Some servers give every call of a turn the index 0: there a name begins another call once the arguments before it
 * are whole. Others repeat the name in every piece: there they are not whole yet.
 */
function beginsAnother(call: OpenCall, delta: ToolCallDelta): boolean {
  if (!delta.name || !call.name || call.isText) return false
  if (delta.name !== call.name) return !call.last || isWhole(call)
  return asText(delta.arguments).trim() !== '' && isWhole(call)
}

/** Whether a piece with a name, but with neither id nor index, goes on with this call. */
function isAwaiting(call: OpenCall, delta: ToolCallDelta): boolean {
  if (!call.name) return true
  const piece = asText(delta.arguments)
  const isBlank = piece !== '' && piece.trim() === ''
  return call.name === delta.name && call.last !== '' && (isBlank || !isWhole(call))
}

function isWhole(call: OpenCall): boolean {
  return call.last.trimEnd().endsWith('}') && isJsonObject(call.text)
}

function isJsonObject(text: string): boolean {
  if (!text.trimStart().startsWith('{')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
