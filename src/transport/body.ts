/** The bytes of a response's body, whichever kind of response it is, and a way to end it at any moment. */
import { LeanResponse } from './lean-fetch.ts'

export type AnyResponse = Response | LeanResponse

export class Body {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #destroy: () => void
  #isEnded = false

  constructor(response: AnyResponse) {
    const body = response instanceof LeanResponse ? response.stream : (response.body as unknown)
    if (isReadableStream(body)) {
      const reader = body.getReader()
      this.#pieces = { next: () => reader.read() as Promise<IteratorResult<Uint8Array, undefined>> }
      this.#destroy = () => void reader.cancel().catch(() => {})
    } else if (isIterable(body)) {
      // Node's streams: convoke's own transport, and what some fetches of users' give.
      this.#pieces = body[Symbol.asyncIterator]()
      this.#destroy = () => body.destroy?.()
    } else {
      this.#pieces = { next: () => Promise.resolve({ done: true, value: undefined }) }
      this.#destroy = () => {}
    }
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      const result = await this.#pieces.next()
      if (!result.done) return { done: false, value: result.value }
    } catch (error) {
      this.#isEnded = true
      throw error
    }
    this.#isEnded = true
    return { done: true, value: undefined }
  }

  /** Closes the socket, unless the body has ended: even while somebody waits for its next piece. */
  destroy(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#destroy()
  }
}

function isReadableStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as ReadableStream | undefined)?.getReader === 'function'
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> & { destroy?: () => void } {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}
