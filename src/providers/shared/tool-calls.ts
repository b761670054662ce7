/** Joins the pieces of streamed tool calls, although many servers number them badly. */
import { ConvokeError } from '../../errors.ts'
import type { ToolCall } from '../../types.ts'
import type { ProviderChunk } from '../../provider.ts'
import { isJsonObject } from './fields.ts'
import { randomUUID } from 'node:crypto'

/** One piece of a tool call. */
export interface ToolCallDelta {
  id?: string | number | null | undefined
  index?: number | null | undefined
  name?: string | null | undefined
  /** A piece of the JSON text, or a value that is parsed already. */
  arguments?: unknown
  signature?: string | undefined
}

/** A function call as the chat APIs of several vendors write it. */
export interface FunctionCallFields {
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}

interface OpenCall {
  id: string
  /** Whether the id comes from the vendor. */
  isIdKnown: boolean
  index: number | undefined
  name: string
  /** The text of the arguments so far. */
  text: string
  /** The last piece of the text that was not blank. Its end shows cheaply that the text is still incomplete. */
  lastPiece: string
  signature: string | undefined
  /** Whether the start chunk was given out. */
  isStarted: boolean
  /** Whether the call has ended. */
  isComplete: boolean
  /** Whether the arguments are free-form text (OpenAI's custom tools) and not JSON. */
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
   * Adds a piece, and gives the chunks to deliver. The piece belongs to the call with its id, else to the call with its
   * index, else to the open call. A new call begins with a piece that has a new id and a name, or that has a name and
   * belongs to no call.
   */
  delta(given: ToolCallDelta, kind: 'json' | 'text' = 'json'): ProviderChunk[] {
    // Some servers use numbers as ids.
    const delta = typeof given.id === 'number' ? { ...given, id: String(given.id) } : given
    const call = this.#find(delta) ?? this.#open(delta, kind)
    if (delta.id && !call.isIdKnown && !call.isStarted) Object.assign(call, { id: delta.id, isIdKnown: true })
    if (delta.name && !call.name) call.name = delta.name
    if (delta.signature) call.signature = delta.signature
    const chunks: ProviderChunk[] = []
    if (!call.isStarted && call.name) {
      call.isStarted = true
      chunks.push(startOf(call))
      if (call.text) chunks.push(deltaOf(call, call.text))
    }
    const piece = asText(delta.arguments)
    if (piece) {
      call.text += piece
      if (piece.trim()) call.lastPiece = piece
      if (call.isStarted) chunks.push(deltaOf(call, piece))
    }
    return chunks
  }

  /** Replaces the joined pieces by the whole text, where the vendor sends it at the end. */
  settle(id: string, text: string): void {
    const call = this.#calls.findLast((candidate) => candidate.id === id)
    if (call) Object.assign(call, { text, lastPiece: text })
  }

  /**
   * Ends one call, or all open calls.
   * @param rawFinishReason the vendor's finish reason, for the error
   * @param isCut whether the finish reason cut the reply off; then a call without any argument text is incomplete and
   * not a call without arguments
   * @throws ConvokeError `malformed_response` when the arguments are no JSON, because a call that was cut off must not
   * look complete
   */
  complete(
    which?: { id?: string | undefined; index?: number | undefined },
    rawFinishReason?: string,
    isCut = false,
  ): ProviderChunk[] {
    const ending = which ? [this.#find(which)] : this.#calls
    return ending.flatMap((call) => {
      if (!call || call.isComplete) return []
      call.isComplete = true
      const start = call.isStarted ? [] : [startOf(call)]
      const toolCall = this.#toolCall(call, rawFinishReason, isCut)
      return [...start, { type: 'tool-call', content: '', toolCall }]
    })
  }

  #toolCall(call: OpenCall, rawFinishReason: string | undefined, isCut: boolean): ToolCall {
    const { id, name, text, isText, signature } = call
    const isEmpty = text.trim() === ''
    if (isCut && isEmpty && !isText) throw this.#incomplete(call, rawFinishReason)
    let parsed: unknown = text
    if (!isText) {
      try {
        parsed = isEmpty ? {} : JSON.parse(text)
      } catch {
        throw this.#incomplete(call, rawFinishReason)
      }
    }
    return { id, name, arguments: parsed, ...(signature ? { signature } : {}) }
  }

  #incomplete({ id, name, text }: OpenCall, rawFinishReason: string | undefined): ConvokeError {
    const hint = rawFinishReason
      ? ` The reply ended with '${rawFinishReason}'; a higher maxTokens may help.`
      : ''
    const message = `The arguments of the tool call ${name || id} are not complete JSON: ${text.slice(0, 120)}.${hint}`
    return new ConvokeError('malformed_response', message, { provider: this.#provider })
  }

  #find(delta: ToolCallDelta): OpenCall | undefined {
    if (delta.id) {
      const known = this.#calls.findLast((call) => call.isIdKnown && call.id === delta.id)
      if (known) return this.#isReusedId(known, delta) ? undefined : known
      const same = this.#withIndex(delta.index)
      // The id came after the first piece of its call, or (older vLLM) every piece has another id.
      return same && !same.isComplete && (!delta.name || !(same.isIdKnown || same.isStarted))
        ? same
        : undefined
    }
    const same = this.#withIndex(delta.index)
    if (same) return beginsAnother(same, delta) ? undefined : same
    const latest = this.#calls.at(-1)
    if (!latest || latest.isComplete) return undefined
    return !delta.name || (typeof delta.index !== 'number' && continuesUnnumbered(latest, delta))
      ? latest
      : undefined
  }

  /** Whether a known id stands for another call. Some servers give all calls of a turn the same id. */
  #isReusedId(known: OpenCall, delta: ToolCallDelta): boolean {
    if (!delta.name) return false
    return (
      known.isComplete ||
      (hasAnotherIndex(known, delta) && (beginsAnother(known, delta) || hasAllArguments(known)))
    )
  }

  #withIndex(index: number | null | undefined): OpenCall | undefined {
    return typeof index === 'number' ? this.#calls.findLast((call) => call.index === index) : undefined
  }

  #open(delta: ToolCallDelta, kind: 'json' | 'text'): OpenCall {
    const call: OpenCall = {
      id: delta.id ? String(delta.id) : makeCallId(),
      isIdKnown: Boolean(delta.id),
      index: delta.index ?? undefined,
      name: '',
      text: '',
      lastPiece: '',
      signature: undefined,
      isStarted: false,
      isComplete: false,
      isText: kind === 'text',
    }
    this.#calls.push(call)
    return call
  }
}

function startOf({ id, name }: OpenCall): ProviderChunk {
  return { type: 'tool-call-start', content: '', id, name }
}

function deltaOf({ id }: OpenCall, argumentsDelta: string): ProviderChunk {
  return { type: 'tool-call-delta', content: '', id, argumentsDelta }
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Some servers give every call of a turn the same id and count only the index. */
function hasAnotherIndex(call: OpenCall, delta: ToolCallDelta): boolean {
  return typeof call.index === 'number' && typeof delta.index === 'number' && call.index !== delta.index
}

/**
 * Whether a piece with the index of a call begins another call. Some servers give every call of a turn the index 0;
 * there, a name begins another call once the arguments before it are complete. Other servers repeat the name in every
 * piece; there, the arguments before it are still incomplete.
 */
function beginsAnother(call: OpenCall, delta: ToolCallDelta): boolean {
  if (!delta.name || !call.name || call.isText) return false
  if (delta.name !== call.name) return !call.lastPiece || hasAllArguments(call)
  return asText(delta.arguments).trim() !== '' && hasAllArguments(call)
}

/** Whether a piece that has a name, but neither id nor index, continues this call. */
function continuesUnnumbered(call: OpenCall, delta: ToolCallDelta): boolean {
  if (!call.name) return true
  const piece = asText(delta.arguments)
  const isBlank = piece !== '' && piece.trim() === ''
  return call.name === delta.name && call.lastPiece !== '' && (isBlank || !hasAllArguments(call))
}

function hasAllArguments(call: OpenCall): boolean {
  return call.lastPiece.trimEnd().endsWith('}') && isJsonObject(call.text)
}

/** A new id. It has at most 40 characters, because OpenAI takes no more. */
export function makeCallId(): string {
  return `call_${randomUUID().replaceAll('-', '')}`
}

/** Whether `makeCallId` made this id. The vendor that sent the call without an id does not know it. */
export function isMadeUpId(id: string): boolean {
  return /^call_[0-9a-f]{32}$/.test(id)
}
