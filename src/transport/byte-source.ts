/**
 * The bytes of a response's body, whichever kind of response it is.
 *
 * Room `transport`: the bytes to and from the SDKs of the vendors, and their refusals as errors. Imported by `llm`,
 * `providers/anthropic`, `providers/cohere`, `providers/gemini`, `providers/ollama`, `providers/openai`,
 * `providers/shared`, `response`.
 */

/** A body that is read piece by piece: `wait`, then `take`. It can be ended at any moment. */
export interface ByteSource {
  /**
   * Whether nothing has arrived yet. If so, `ready` is called once: when bytes arrive or the body ends. `destroy` ends
   * the body too, and calls `ready` before it returns.
   */
  wait(ready: () => void): boolean
  /**
   * After `wait`: the bytes that arrived since the last call, as one piece; undefined at the end of the body.
   * @throws the error that broke the body off, or the reason of `destroy`
   */
  take(): Uint8Array | undefined
  /** Ends the body and closes its socket. It does nothing when the body has ended already. */
  destroy(reason?: Error): void
  /** Discards the rest of the body, so that the connection can serve another request. A rest that takes long is closed. */
  drain(): void
}

/** `wait` as a promise, for readers that can afford one for each piece. */
export function whenReady(source: Pick<ByteSource, 'wait'>): Promise<void> {
  return new Promise((resolve) => {
    if (!source.wait(resolve)) resolve()
  })
}

/** The next piece of a body, or undefined at its end. */
export async function read(source: ByteSource): Promise<Uint8Array | undefined> {
  await whenReady(source)
  return source.take()
}

/** The time that the rest of a finished body may take before its socket is closed. */
export const drainMs = 1_000

/** The error of a body that its reader closed before its end. */
export class BodyClosedError extends Error {
  constructor() {
    super('The body was closed.')
  }
}

/** A body that is pulled: the body of a response by the user's own fetch, or the output of a decompressor. */
export class PulledBody implements ByteSource {
  readonly #next: () => Promise<IteratorResult<Uint8Array, undefined>>
  readonly #close: () => void
  #piece: Uint8Array | undefined
  #isEnded = false
  #error: Error | undefined
  #ready: (() => void) | undefined

  constructor(body: unknown) {
    if (isReadableStream(body)) {
      const reader = body.getReader()
      this.#next = () => reader.read() as Promise<IteratorResult<Uint8Array, undefined>>
      this.#close = () => void reader.cancel().catch(() => {})
    } else if (isIterable(body)) {
      // Some fetches give a stream of Node.
      const iterator = body[Symbol.asyncIterator]()
      this.#next = () => iterator.next() as Promise<IteratorResult<Uint8Array, undefined>>
      this.#close = () => destroyQuietly(body)
    } else {
      this.#next = () => Promise.resolve({ done: true, value: undefined })
      this.#close = () => {}
    }
  }

  wait(ready: () => void): boolean {
    if (this.#piece || this.#isEnded) return false
    this.#ready = ready
    void this.#pull()
    return true
  }

  take(): Uint8Array | undefined {
    const piece = this.#piece
    this.#piece = undefined
    if (!piece && this.#error) throw this.#error
    return piece
  }

  destroy(reason?: Error): void {
    if (this.#isEnded) return
    this.#piece = undefined
    this.#close()
    this.#end(reason ?? new BodyClosedError())
  }

  drain(): void {
    const timer = setTimeout(() => this.destroy(), drainMs)
    timer.unref()
    void this.#readAll().finally(() => clearTimeout(timer))
  }

  /** The user's fetch may give a body that throws where it must not. That ends this body and nothing else. */
  async #pull(): Promise<void> {
    try {
      const { done, value } = await this.#next()
      if (done) this.#end()
      else this.#arrived(value)
    } catch (error) {
      this.#end(error as Error)
    }
  }

  #arrived(piece: Uint8Array): void {
    if (!this.#isEnded) this.#piece = piece
    this.#wakeUp()
  }

  #end(error?: Error): void {
    if (!this.#isEnded) this.#error = error
    this.#isEnded = true
    this.#wakeUp()
  }

  #wakeUp(): void {
    const ready = this.#ready
    this.#ready = undefined
    ready?.()
  }

  async #readAll(): Promise<void> {
    try {
      while ((await read(this)) !== undefined);
    } catch {
      // The reply was complete before, so an error behind it is of no consequence.
    }
  }
}

function destroyQuietly(body: { destroy?: () => void }): void {
  try {
    body.destroy?.()
  } catch {
    // The body is given up, so an error of its closing is of no consequence.
  }
}

function isReadableStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as ReadableStream | undefined)?.getReader === 'function'
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> & { destroy?: () => void } {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}
