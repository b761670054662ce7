import { ConvokeError } from '../errors.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import { ResponseBuilder } from './response-builder.ts'
import type { RequestInfo } from './response-builder.ts'

/**
 * Builds the response of a stream from the chunks that a reader has received, for a reader that cannot ask the call for
 * it because the call runs in another thread.
 */
export class PartialResponse {
  readonly #provider: string
  readonly #requestInfo: RequestInfo
  readonly #startedAtMs = performance.now()
  #firstChunkAtMs: number | undefined
  #builder: ResponseBuilder

  constructor(provider: string, requestInfo: RequestInfo) {
    this.#provider = provider
    this.#requestInfo = requestInfo
    this.#builder = new ResponseBuilder(provider, requestInfo)
  }

  /** Adds a chunk. A `reset` chunk discards what came before. */
  add(chunk: StreamChunk): void {
    if (chunk.type === 'reset') {
      this.#builder = new ResponseBuilder(this.#provider, this.#requestInfo)
      return
    }
    if (chunk.type !== 'start') this.#firstChunkAtMs ??= performance.now()
    this.#builder.add(chunk)
  }

  /** The error with this response as its `partial`, unless it has one already. */
  attachTo(error: ConvokeError): ConvokeError {
    if (error.partial) return error
    const { code, message, cause, name: _name, ...fields } = error
    const partial = this.#response()
    const { provider, model } = partial
    return new ConvokeError(code, message, {
      ...fields,
      attempts: 1,
      cause,
      provider,
      ...(model ? { model } : {}),
      partial,
    })
  }

  #response(): GenerateResponse {
    const nowMs = performance.now()
    const timing = {
      firstChunkMs: (this.#firstChunkAtMs ?? nowMs) - this.#startedAtMs,
      totalMs: nowMs - this.#startedAtMs,
      attempts: 1,
    }
    return this.#builder.response('error', { timing, warnings: [] })
  }
}
