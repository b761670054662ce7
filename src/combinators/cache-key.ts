/** The name of a request in a cache: the same for all that would get the same reply. */
import { createHash } from 'node:crypto'

/**
 * A hash of plain data, whatever the order of its fields.
 * @throws TypeError for a function or a symbol, which says nothing of what it does
 */
export function cacheKey(identity: unknown): string {
  return `convoke:1:${createHash('sha256')
    .update(JSON.stringify(canonical(identity)))
    .digest('hex')}`
}

function canonical(value: unknown): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw new TypeError(`a ${typeof value} in the request has no name that a cache could know it by`)
  }
  if (typeof value === 'bigint') return { bigint: String(value) }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(canonical)
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64') }
  if ('toJSON' in value) return canonical((value as { toJSON(): unknown }).toJSON())
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
  entries.sort(([one], [other]) => (one < other ? -1 : 1))
  return Object.fromEntries(entries.map(([name, entry]) => [name, canonical(entry)]))
}
