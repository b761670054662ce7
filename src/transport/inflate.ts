/** Bodies that a server compressed although it was asked not to. */
import { pipeline, Readable } from 'node:stream'
import type { Transform } from 'node:stream'
import type { ByteSource } from './body.ts'

/** zlib is loaded for the first body that needs it. */
async function decoderOf(encoding: string): Promise<Transform> {
  const zlib = await import('node:zlib')
  if (encoding === 'br') return zlib.createBrotliDecompress()
  return encoding === 'deflate' ? zlib.createInflate() : zlib.createGunzip()
}

/** The body itself, or its bytes as they were before they were compressed. */
export function inflated(body: ByteSource, encoding: string | string[] | undefined): ByteSource {
  const name = String(encoding ?? '').toLowerCase()
  return /^(gzip|x-gzip|deflate|br)$/.test(name) ? new InflatedBody(body, name) : body
}

class InflatedBody implements ByteSource {
  readonly #body: ByteSource
  readonly #encoding: string
  #pieces: Promise<AsyncIterator<Uint8Array, undefined>> | undefined
  #decoder: Transform | undefined
  #isEnded = false

  constructor(body: ByteSource, encoding: string) {
    this.#body = body
    this.#encoding = encoding
  }

  async read(): Promise<Uint8Array | undefined> {
    this.#pieces ??= this.#open()
    const { done, value } = await (await this.#pieces).next()
    if (!done) return value
    this.#isEnded = true
    return undefined
  }

  destroy(reason?: Error): void {
    this.#body.destroy(reason)
    if (!this.#isEnded) this.#decoder?.destroy(reason)
  }

  drain(): void {
    if (this.#isEnded) this.#body.drain()
    else this.destroy()
  }

  async #open(): Promise<AsyncIterator<Uint8Array, undefined>> {
    const decoder = await decoderOf(this.#encoding)
    this.#decoder = decoder
    pipeline(Readable.from(piecesOf(this.#body)), decoder, () => {})
    return decoder[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>
  }
}

async function* piecesOf(body: ByteSource): AsyncGenerator<Uint8Array, void, void> {
  for (let piece = await body.read(); piece; piece = await body.read()) yield piece
}
