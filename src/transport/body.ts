/**
 * The bytes of a response's body, whichever kind of response it is, and a way to end it at any moment.
 *
 * Room `transport`: the bytes to and from the SDKs of the vendors, and their refusals as errors. Imported by `llm`,
 * `providers/anthropic`, `providers/cohere`, `providers/gemini`, `providers/ollama`, `providers/openai`,
 * `providers/shared`, `response`.
 */

/** A body that is taken piece by piece: `wait`, then `take`. */
export interface ByteSource {
  /**
   * Whether nothing has come so far; then `ready` is called, once, when something has or nothing more will: by
   * `destroy` too, before that returns.
   */
  wait(ready: () => void): boolean
  /** After `wait`: what has come since the last time, as one piece; undefined at the end. @throws when it broke off */
  take(): Uint8Array | undefined
  /** Ends it and closes the socket, unless the body has ended; the next `take` throws the reason. */
  destroy(reason?: Error): void
  /** The rest is of no interest: it is let pass, so that the socket can be used again, or soon closed. */
  drain(): void
}

/** `wait` as a promise, where no chunk is worth a microsecond. */
export function arrival(source: Pick<ByteSource, 'wait'>): Promise<void> {
  return new Promise((resolve) => {
    if (!source.wait(resolve)) resolve()
  })
}

/** The next piece. */
export async function read(source: ByteSource): Promise<Uint8Array | undefined> {
  await arrival(source)
  return source.take()
}

/** How long the rest of a finished body may take before its socket is given up. */
export const drainMs = 1_000

/** A body that its reader closed before its end. */
export class BodyClosedError extends Error {
  constructor() {
    super('The body was closed.')
  }
}

/** A body that is pulled: of a response that a fetch of the user's gave, or behind a decoder. */
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
      // Node's streams, which some fetches give.
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

  /** A body of the user's may break its own rules; that ends it, and nothing else. */
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
      // The reply was whole; what breaks after it concerns nobody.
    }
  }
}

function destroyQuietly(body: { destroy?: () => void }): void {
  try {
    body.destroy?.()
  } catch {
    // What closing breaks on concerns nobody any more.
  }
}

function isReadableStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as ReadableStream | undefined)?.getReader === 'function'
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> & { destroy?: () => void } {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}
