/**
 * Maps Gemini's function calls to chunks. A call comes whole, or its arguments are streamed as values with JSON paths
 * (`streamFunctionCallArguments` on Vertex AI).
 */
import type { ProviderChunk } from '../../provider.ts'
import { ToolCalls } from '../shared/tool-calls.ts'
import { StreamedArguments } from './streamed-arguments.ts'
import type { PartialArgument } from './streamed-arguments.ts'

/** A part of the type `functionCall`, which holds a whole call or a piece of one. */
export interface FunctionCallPart {
  id?: string
  name?: string
  args?: Record<string, unknown> | null
  partialArgs?: PartialArgument[] | null
  /** Whether more pieces of this call follow. */
  willContinue?: boolean
}

interface OpenCall {
  id: string
  vendorId: string | undefined
  arguments: StreamedArguments
}

export class FunctionCalls {
  readonly #calls: ToolCalls
  readonly #vendorIds = new Set<string>()
  /** The call whose arguments are still coming. */
  #open: OpenCall | undefined

  constructor(provider: string) {
    this.#calls = new ToolCalls(provider)
  }

  get size(): number {
    return this.#calls.size
  }

  /** Adds a part. In a streamed call, the first part has the name, others have values, and the last is often empty. */
  add(call: FunctionCallPart, signature: string | undefined): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    const isNext = call.id !== undefined && call.id === this.#open?.vendorId
    if (call.name && !isNext) chunks.push(...this.#close(), ...this.#begin(call, signature))
    else if (signature && this.#open) this.#calls.delta({ id: this.#open.vendorId, signature })
    if (!this.#open) return chunks
    if (call.args) this.#open.arguments.merge(call.args)
    for (const piece of call.partialArgs ?? []) chunks.push(...this.#delta(this.#open.arguments.add(piece)))
    if (!call.willContinue) chunks.push(...this.#close())
    return chunks
  }

  /**
   * Ends the open call when its last piece did not come.
   * @param cutBy the finish reason, when it cut the reply off
   * @throws ConvokeError `malformed_response`, because a call that was cut off must not look complete
   */
  complete(cutBy?: string): ProviderChunk[] {
    // A text value without its last piece is cut off, whatever the finish reason says.
    if (!this.#open || (cutBy === undefined && !this.#open.arguments.isInText)) return this.#close()
    this.#calls.settle(this.#open.id, this.#open.arguments.unfinished)
    return this.#calls.complete(undefined, cutBy, true)
  }

  #begin({ id, name }: FunctionCallPart, signature: string | undefined): ProviderChunk[] {
    // An id that was used before would join two calls. Some proxies use the name as the id.
    const vendorId = id && !this.#vendorIds.has(id) ? id : undefined
    if (vendorId) this.#vendorIds.add(vendorId)
    const chunks = this.#calls.delta({ id: vendorId, name, signature })
    const start = chunks.find((chunk) => chunk.type === 'tool-call-start')
    this.#open = { id: start?.id ?? '', vendorId, arguments: new StreamedArguments() }
    return chunks
  }

  #delta(text: string): ProviderChunk[] {
    return text ? this.#calls.delta({ id: this.#open?.vendorId, arguments: text }) : []
  }

  #close(): ProviderChunk[] {
    if (!this.#open) return []
    const { text, rest } = this.#open.arguments.end()
    const chunks = this.#delta(rest)
    this.#calls.settle(this.#open.id, text)
    this.#open = undefined
    return [...chunks, ...this.#calls.complete()]
  }
}
