/** Bodies that a server compressed although it was asked not to. */
import { pipeline, Readable } from 'node:stream'
import type { Transform } from 'node:stream'
import { PulledBody, read } from './body.ts'
import type { ByteSource } from './body.ts'

/** The body itself, or its bytes as they were before they were compressed. */
export function inflated(body: ByteSource, encoding: string | string[] | undefined): ByteSource {
  const decoder = decoderOf(String(encoding ?? '').toLowerCase())
  if (!decoder) return body
  pipeline(Readable.from(piecesOf(body)), decoder, () => {})
  decoder.once('close', () => body.destroy())
  return new PulledBody(decoder)
}

/** zlib is loaded for the first body that needs it. */
function decoderOf(encoding: string): Transform | undefined {
  if (encoding === '' || encoding === 'identity') return undefined
  const zlib = process.getBuiltinModule('node:zlib')
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip()
    case 'deflate':
      return zlib.createInflate()
    case 'br':
      return zlib.createBrotliDecompress()
    default:
      return undefined
  }
}

async function* piecesOf(body: ByteSource): AsyncGenerator<Uint8Array, void, void> {
  for (let piece = await read(body); piece; piece = await read(body)) yield piece
}
