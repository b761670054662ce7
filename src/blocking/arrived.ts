/** What of a stream had come when the thread that read it was lost: that thread can tell no more. */
import { Collector } from '../collect.ts'
import type { Asked } from '../collect.ts'
import { ConvokeError } from '../errors.ts'
import type { StreamChunk } from '../types.ts'

export class Arrived {
  readonly #provider: string
  readonly #asked: Asked
  readonly #startedAtMs = performance.now()
  #firstAtMs: number | undefined
  #collector: Collector

  constructor(provider: string, asked: Asked) {
    this.#provider = provider
    this.#asked = asked
    this.#collector = new Collector(provider, asked)
  }

  add(chunk: StreamChunk): void {
    if (chunk.type === 'reset') {
      this.#collector = new Collector(this.#provider, this.#asked)
      return
    }
    if (chunk.type !== 'start') this.#firstAtMs ??= performance.now()
    this.#collector.add(chunk)
  }

  /** The error as the async side would have told it. */
  told(error: ConvokeError): ConvokeError {
    if (error.partial) return error
    const { code, message, cause, name: _name, ...fields } = error
    const now = performance.now()
    const partial = this.#collector.response('error', {
      timing: {
        firstChunkMs: (this.#firstAtMs ?? now) - this.#startedAtMs,
        totalMs: now - this.#startedAtMs,
        attempts: 1,
      },
      warnings: [],
    })
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
}
