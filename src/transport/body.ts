/** The bytes of a response's body, whichever kind of response it is, and a way to end it at any moment. */

/** A body that is read piece by piece. */
export interface ByteSource {
  /** What has come since the last time, as one piece; undefined at the end. Rejects when the body breaks off. */
  read(): Promise<Uint8Array | undefined>
  /** Ends it and closes the socket, unless the body has ended; a read that waits rejects with the reason. */
  destroy(reason?: Error): void
  /** The rest is of no interest: it is let pass, so that the socket can be used again, or soon closed. */
  drain(): void
}

/** How long the rest of a finished body may take before its socket is given up. */
const drainMs = 1_000

/** Pieces that are pushed in by the transport, with a bound beyond which the socket is not read. */
export class PushedBody implements ByteSource {
  readonly #owner: { pause(): void; resume(): void; close(reason: Error): void }
  #pieces: Uint8Array[] = []
  #waitingBytes = 0
  #isPaused = false
  #isDraining = false
  #isEnded = false
  #error: Error | undefined
  #wake: (() => void) | undefined
  #drainTimer: NodeJS.Timeout | undefined

  constructor(owner: { pause(): void; resume(): void; close(reason: Error): void }) {
    this.#owner = owner
  }

  push(piece: Uint8Array): void {
    if (this.#isDraining) return
    this.#pieces.push(piece)
    this.#waitingBytes += piece.length
    if (this.#waitingBytes > maxWaitingBytes && !this.#isPaused) {
      this.#isPaused = true
      this.#owner.pause()
    }
    this.#wakeUp()
  }

  /** The message is whole, or broken. */
  end(error?: Error): void {
    clearTimeout(this.#drainTimer)
    this.#isEnded = true
    this.#error ??= error
    this.#wakeUp()
  }

  async read(): Promise<Uint8Array | undefined> {
    while (this.#pieces.length === 0) {
      if (this.#error) throw this.#error
      if (this.#isEnded) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    // The parser gives a piece for every chunk on the wire; together they are decoded at a fraction of the cost.
    const pieces = this.#pieces
    this.#pieces = []
    this.#waitingBytes = 0
    if (this.#isPaused) {
      this.#isPaused = false
      this.#owner.resume()
    }
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)
  }

  destroy(reason?: Error): void {
    this.#pieces = []
    if (this.#isEnded) return
    this.#error = reason ?? closed()
    this.#owner.close(this.#error)
    this.end()
  }

  drain(): void {
    if (this.#isEnded) return
    this.#pieces = []
    this.#isDraining = true
    if (this.#isPaused) this.#owner.resume()
    this.#drainTimer = setTimeout(() => this.destroy(), drainMs)
    this.#drainTimer.unref()
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

/** Bytes of a body that may wait for their reader: a few reads of a socket. */
const maxWaitingBytes = 262_144

/** The body of a response that a fetch of the user's gave. */
export class FetchedBody implements ByteSource {
  readonly #next: () => Promise<IteratorResult<Uint8Array, undefined>>
  readonly #close: () => void
  #isEnded = false
  /** Ends the read that waits. */
  #break: ((reason: Error) => void) | undefined

  constructor({ body }: { body?: unknown }) {
    if (isReadableStream(body)) {
      const reader = body.getReader()
      this.#next = () => reader.read() as Promise<IteratorResult<Uint8Array, undefined>>
      this.#close = () => void reader.cancel().catch(() => {})
    } else if (isIterable(body)) {
      // Node's streams, which some fetches give.
      const iterator = body[Symbol.asyncIterator]()
      this.#next = () => iterator.next() as Promise<IteratorResult<Uint8Array, undefined>>
      this.#close = () => body.destroy?.()
    } else {
      this.#next = () => Promise.resolve({ done: true, value: undefined })
      this.#close = () => {}
    }
  }

  async read(): Promise<Uint8Array | undefined> {
    try {
      const result = await new Promise<IteratorResult<Uint8Array, undefined>>((resolve, reject) => {
        this.#break = reject
        this.#next().then(resolve, reject)
      })
      if (!result.done) return result.value
    } catch (error) {
      this.#isEnded = true
      throw error
    }
    this.#isEnded = true
    return undefined
  }

  destroy(reason?: Error): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#close()
    this.#break?.(reason ?? closed())
  }

  drain(): void {
    const timer = setTimeout(() => this.destroy(), drainMs)
    timer.unref()
    void this.#readAll().finally(() => clearTimeout(timer))
  }

  async #readAll(): Promise<void> {
    try {
      while ((await this.read()) !== undefined);
    } catch {
      // The reply was whole; what breaks after it concerns nobody.
    }
  }
}

function closed(): Error {
  return new Error('The body was closed.')
}

function isReadableStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as ReadableStream | undefined)?.getReader === 'function'
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> & { destroy?: () => void } {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}
