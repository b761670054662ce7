/** The bytes of a response's body, whichever kind of response it is, and a way to end it at any moment. */

/** A body that is taken piece by piece: `wait`, then `take`. */
export interface ByteSource {
  /** Settles when something has come or nothing more will; undefined when that is so already. It never rejects. */
  wait(): Promise<void> | undefined
  /** After `wait`: what has come since the last time, as one piece; undefined at the end. @throws when it broke off */
  take(): Uint8Array | undefined
  /** Ends it and closes the socket, unless the body has ended; the next `take` throws the reason. */
  destroy(reason?: Error): void
  /** The rest is of no interest: it is let pass, so that the socket can be used again, or soon closed. */
  drain(): void
}

/** The next piece, where no chunk is worth a microsecond. */
export async function read(source: ByteSource): Promise<Uint8Array | undefined> {
  await source.wait()
  return source.take()
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

  /** The message is whole; one that broke off is destroyed. */
  end(): void {
    clearTimeout(this.#drainTimer)
    this.#isEnded = true
    // The connection is another's.
    this.#isPaused = false
    this.#wakeUp()
  }

  wait(): Promise<void> | undefined {
    if (this.#pieces.length > 0 || this.#isEnded) return undefined
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  take(): Uint8Array | undefined {
    const pieces = this.#pieces
    if (pieces.length === 0) {
      if (this.#error) throw this.#error
      return undefined
    }
    this.#pieces = []
    this.#waitingBytes = 0
    if (this.#isPaused) {
      this.#isPaused = false
      this.#owner.resume()
    }
    // The parser gives a piece for every chunk on the wire; together they are decoded at a fraction of the cost.
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

/** A body that is pulled: of a response that a fetch of the user's gave, or behind a decoder. */
export class PulledBody implements ByteSource {
  readonly #next: () => Promise<IteratorResult<Uint8Array, undefined>>
  readonly #close: () => void
  #piece: Uint8Array | undefined
  #isEnded = false
  #error: Error | undefined
  /** Ends the wait. */
  #wake: (() => void) | undefined

  constructor(body: unknown) {
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

  wait(): Promise<void> | undefined {
    if (this.#piece || this.#isEnded) return undefined
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#next().then(
        ({ done, value }) => (done ? this.#end() : this.#arrived(value)),
        (error: Error) => this.#end(error),
      )
    })
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
    this.#end(reason ?? closed())
  }

  drain(): void {
    const timer = setTimeout(() => this.destroy(), drainMs)
    timer.unref()
    void this.#readAll().finally(() => clearTimeout(timer))
  }

  #arrived(piece: Uint8Array): void {
    if (!this.#isEnded) this.#piece = piece
    this.#wake?.()
  }

  #end(error?: Error): void {
    if (!this.#isEnded) this.#error = error
    this.#isEnded = true
    this.#wake?.()
  }

  async #readAll(): Promise<void> {
    try {
      while ((await read(this)) !== undefined);
    } catch {
      // The reply was whole; what breaks after it concerns nobody.
    }
  }
}

function isReadableStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as ReadableStream | undefined)?.getReader === 'function'
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> & { destroy?: () => void } {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

function closed(): Error {
  return new Error('The body was closed.')
}
