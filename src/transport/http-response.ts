import type { IncomingMessage } from 'node:http'
import type { ByteSource } from './body.ts'

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
