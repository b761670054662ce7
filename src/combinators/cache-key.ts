/** The key of a request in a cache. */
import { createHash } from 'node:crypto'
import { canonicalJson } from '../request/canonical-json.ts'

/**
 * A hash of a request's identity (see `Backend.identity`). Equal requests have equal keys, whatever the order of their
 * fields. A change of the hash makes all existing caches useless.
 * @throws TypeError for a function or a symbol: its behaviour cannot be hashed
 */
export function cacheKey(identity: unknown): string {
  const text = canonicalJson(identity, writeForKey)
  return `convoke:1:${createHash('sha256').update(text).digest('hex')}`
}

/** The text of values that JSON has no form for. */
function writeForKey(value: unknown): string | undefined {
  switch (typeof value) {
    case 'function':
    case 'symbol':
      throw new TypeError(`a ${typeof value} in the request cannot be part of a cache key`)
    case 'bigint':
      return `{"bigint":"${value}"}`
    case 'object': {
      if (value === null || Array.isArray(value)) return undefined
      if (value instanceof Uint8Array) return `{"bytes":"${Buffer.from(value).toString('base64')}"}`
      if (!('toJSON' in value)) return undefined
      return canonicalJson((value as { toJSON(): unknown }).toJSON(), writeForKey)
    }
    default:
      return undefined
  }
}
