/** Turns an image or a file of the user's into the form that providers get. */
import type { MediaPart } from '../provider.ts'
import type { FilePart, ImagePart } from '../types.ts'
import { invalidRequest } from './invalid-request.ts'

/** An image or a file as its bytes in base64, or as its URL. `mediaType` is set where the source itself names it. */
interface MediaSource {
  base64?: string
  url?: string
  mediaType?: string
}

/**
 * An image or a file with its media type. An image without one is recognised by its first bytes, and is else taken for
 * a PNG.
 * @throws ConvokeError `invalid_request` for a file without a media type, and for a text that is neither a URL nor base64
 */
export function mediaPart(part: ImagePart | FilePart): MediaPart {
  return part.type === 'image' ? imagePart(part) : filePart(part)
}

function imagePart({ image, mediaType }: ImagePart): MediaPart {
  const source = mediaSource(image, 'An image part')
  const type = mediaType ?? source.mediaType ?? sniffImage(source.base64) ?? 'image/png'
  return withSource('image', source, type)
}

function filePart({ file, mediaType, name }: FilePart): MediaPart {
  const source = mediaSource(file, 'A file part')
  const type = mediaType ?? source.mediaType
  if (!type) throw invalidRequest('A file part has no mediaType. Pass one, such as application/pdf.')
  return { ...withSource('file', source, type), ...(name ? { name } : {}) }
}

function withSource(type: 'image' | 'file', { base64, url }: MediaSource, mediaType: string): MediaPart {
  return url === undefined ? { type, mediaType, base64: base64 ?? '' } : { type, mediaType, url }
}

/** @param subject begins the sentence of an error */
function mediaSource(value: string | URL | Uint8Array, subject: string): MediaSource {
  if (value instanceof Uint8Array) {
    return { base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
  }
  if (value instanceof URL) return mediaSource(value.href, subject)
  if (typeof value !== 'string' || value === '') {
    const given = value === '' ? 'an empty text' : `a value of type ${typeof value}`
    throw invalidRequest(`${subject} holds ${given}. Pass a URL, base64 text or bytes.`)
  }
  const data = /^data:([^;,]*)(;[^,]*)?,/.exec(value.slice(0, 200))
  if (data) {
    const rest = value.slice(data[0].length)
    const base64 = data[2]?.endsWith(';base64')
      ? rest
      : Buffer.from(unescaped(rest, subject)).toString('base64')
    return { base64, ...(data[1] ? { mediaType: data[1] } : {}) }
  }
  if (/^https?:\/\//i.test(value)) return { url: value }
  if (!/^[A-Za-z0-9+/_=\s-]*$/.test(value.slice(0, 400))) {
    throw invalidRequest(
      `${subject} holds a text that is neither a URL nor base64: ${value.slice(0, 40)}. Load the file and pass its bytes.`,
    )
  }
  return { base64: value }
}

function unescaped(text: string, subject: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw invalidRequest(`${subject} holds a data URL with a broken % escape. Pass base64 or bytes.`, cause)
  }
}

/** The media type of an image, by the first bytes of the formats that vendors take. */
function sniffImage(base64: string | undefined): string | undefined {
  if (base64?.startsWith('iVBORw0KGgo')) return 'image/png'
  if (base64?.startsWith('/9j/')) return 'image/jpeg'
  if (base64?.startsWith('R0lGOD')) return 'image/gif'
  if (base64?.startsWith('UklGR')) return 'image/webp'
  return undefined
}
