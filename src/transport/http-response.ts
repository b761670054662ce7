import type { IncomingMessage } from 'node:http'
import type { ByteSource } from './byte-source.ts'
import { BodyClosedError, drainMs } from './byte-source.ts'

/** The status, the headers and the bytes of a response: the parts of the global Response that convoke uses. */
export class HttpResponse {
  readonly status: number
  /** The bytes, decompressed. Whoever takes the response has to read them to their end or to destroy them. */
  readonly source: ByteSource
  readonly #rawHeaders: readonly string[]
  #headers: Headers | undefined

  constructor({ statusCode = 0, rawHeaders }: IncomingMessage, source: ByteSource) {
    this.status = statusCode
    this.source = source
    this.#rawHeaders = rawHeaders
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get headers(): Headers {
    if (this.#headers) return this.#headers
    const headers = new Headers()
    for (let at = 0; at < this.#rawHeaders.length; at += 2) {
      headers.append(this.#rawHeaders[at] as string, this.#rawHeaders[at + 1] as string)
    }
    return (this.#headers = headers)
  }
}

/** The first value of a header. Node's own `headers` would build an object of them all, a fiftieth of a call's CPU. */
export function headerOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string
    if (given.length === name.length && given.toLowerCase() === name) return rawHeaders[at + 1]
  }
  return undefined
}

/**
 * The body of a response of `node:http`, read in paused mode: however many chunks of the wire a read of the socket
 * brings, they are taken as one piece. Node stops the socket while more waits than the response's `highWaterMark`.
 */
export class ResponseBody implements ByteSource {
  readonly #response: IncomingMessage
  readonly #close: (reason: Error) => void
  #isEnded = false
  /** Its reader ended it, and gets nothing more. */
  #isDestroyed = false
  #isDraining = false
  #error: Error | undefined
  #ready: (() => void) | undefined
  #drainTimer: NodeJS.Timeout | undefined

  /** @param close ends the request and closes its socket */
  constructor(response: IncomingMessage, close: (reason: Error) => void) {
    this.#response = response
    this.#close = close
    response.on('readable', () => this.#onReadable())
  }

  wait(ready: () => void): boolean {
    if (this.#isEnded || this.#response.readableLength > 0) return false
    this.#ready = ready
    return true
  }

  take(): Uint8Array | undefined {
    if (this.#isDestroyed) throw this.#error ?? new BodyClosedError()
    // The bytes that came before the network broke are given first.
    const piece = this.#response.readableLength > 0 ? (this.#response.read() as Buffer | null) : null
    if (piece) return piece
    if (this.#error) throw this.#error
    return undefined
  }

  destroy(reason?: Error): void {
    if (this.#isEnded) return
    const error = reason ?? new BodyClosedError()
    this.#isDestroyed = true
    this.end(error)
    this.#close(error)
  }

  drain(): void {
    if (this.#isEnded) return
    this.#isDraining = true
    this.#response.read()
    this.#drainTimer = setTimeout(() => this.destroy(), drainMs)
    this.#drainTimer.unref()
  }

  /** The body is whole, or broke off by this error. */
  end(error?: Error): void {
    if (this.#isEnded) return
    clearTimeout(this.#drainTimer)
    this.#isEnded = true
    this.#error = error
    this.#wakeUp()
  }

  #onReadable(): void {
    // At the end of the body, reading once more is what makes Node say so.
    if (this.#isDraining || this.#response.readableLength === 0) this.#response.read()
    else this.#wakeUp()
  }

  #wakeUp(): void {
    const ready = this.#ready
    this.#ready = undefined
    ready?.()
  }
}
