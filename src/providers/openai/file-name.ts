import type { MediaPart } from '../../provider.ts'

/** The name of a file for the vendor, which recognises the kind of a file by its extension. */
export function fileName(part: MediaPart): string {
  const kind = part.mediaType.replace(/^.*\//, '').replace(/;.*$/, '')
  const extension = { plain: 'txt', markdown: 'md', 'x-markdown': 'md' }[kind] ?? kind
  return part.name ?? (/^\w+$/.test(extension) ? `file.${extension}` : 'file')
}
