/** What of a call can cross to another thread. */
import { ConvokeError } from '../errors.ts'
import { unavailable } from './in-flight.ts'

/**
 * A copy without anything that only this thread has. A URL becomes its text, and what has a form of its own in JSON that.
 * @param name how an error calls the value
 * @throws ConvokeError `blocking_unavailable` for a function, `invalid_request` for an object that is inside itself
 */
export function portable<T>(value: T, name: string): T {
  return copy(value, name, []) as T
}

function copy(value: unknown, name: string, around: readonly object[]): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') {
    throw unavailable(
      `${name} is a ${typeof value}, which cannot cross to the thread that runs blocking calls. Use agenerate(), or leave it out.`,
    )
  }
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof URL) return value.href
  // Of a Buffer, the pool around it would cross as well.
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (value instanceof Date || value instanceof Error) return value
  if (around.includes(value)) throw new ConvokeError('invalid_request', `${name} contains itself.`)
  const path = [...around, value]
  // The thread that sends it would see but its fields.
  if ('toJSON' in value && typeof value.toJSON === 'function') return copy(value.toJSON(), name, path)
  if (Array.isArray(value)) return value.map((entry, at) => copy(entry, `${name}[${at}]`, path))
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, copy(entry, `${name}.${key}`, path)]),
  )
}
