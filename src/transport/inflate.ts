/** Bodies that a server compressed although it was asked not to. */
import { pipeline, Readable } from 'node:stream'
import type { Transform } from 'node:stream'
import { ConvokeError } from '../errors.ts'
import { PulledBody, read } from './byte-source.ts'
import type { ByteSource } from './byte-source.ts'

/** The body itself, or its bytes as they were before they were compressed. */
export function inflated(body: ByteSource, encoding: string | undefined): ByteSource {
  const name = encoding?.toLowerCase() ?? ''
  if (name === '' || name === 'identity') return body
  const decoder = decoderOf(name)
  if (!decoder) {
    // Its name is the server's word, and might be anything.
    const message =
      'The reply is compressed in a way that was not asked for and cannot be read (content-encoding).'
    body.destroy(new ConvokeError('malformed_response', message))
    return body
  }
  pipeline(Readable.from(piecesOf(body)), decoder, () => {})
  decoder.once('close', () => body.destroy())
  return new PulledBody(decoder)
}

/** zlib is loaded for the first body that needs it. */
function decoderOf(encoding: string): Transform | undefined {
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
