/** Copies the arguments of a call into data that can cross to another thread, in the form in which JSON would send them. */
import { types } from 'node:util'
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import { unavailable } from './may-block.ts'

/**
 * The use of a value, which decides how it is copied. Functions are refused among options, where they may matter (`fetch`,
 * a tool that a vendor's SDK calls), and left out of messages, tools and metadata, as JSON leaves them out. `said` is what
 * assistants and tools have said. Bytes stay bytes only in the media of a user's parts.
 */
type ValueKind = 'options' | 'setting' | 'prompt' | 'said' | 'parts' | 'media' | 'data'

/** The place of a value in the arguments. */
interface Location {
  kind: ValueKind
  /** The key that `toJSON` gets. It is empty for a value that is sent as a JSON text of its own. */
  key: string
  /** Names the value in an error. */
  name: string
  /** The objects that the value is inside of. */
  around: Set<object>
}

/**
 * Copies a value without anything that only this thread has. A value with a JSON form of its own (`toJSON`) is copied in
 * that form.
 * @param name names the value in an error
 * @throws ConvokeError `blocking_unavailable` for a function that may matter, `invalid_request` for a value that JSON
 * cannot hold
 */
export function toCloneable<T>(
  value: T,
  name: string,
  kind: 'options' | 'setting' | 'prompt' = 'options',
): T {
  try {
    return copy(value, { kind, key: '', name, around: new Set() }) as T
  } catch (cause) {
    if (isConvokeError(cause)) throw cause
    // The value is nested deeper than the stack allows, or its toJSON() threw.
    const reason = messageOf(cause)
    throw new ConvokeError('invalid_request', `JSON cannot hold ${name}: ${reason}`, { cause })
  }
}

function copy(given: unknown, at: Location): unknown {
  // A Buffer is copied, since the whole memory pool that it lies in would cross otherwise.
  if (at.kind === 'media' && given instanceof Uint8Array) return new Uint8Array(given)
  if (at.kind === 'media' && given instanceof URL) return given.href
  const value = jsonFormOf(given, at.key)
  if (typeof value === 'function' || typeof value === 'symbol') return leaveOut(value, at)
  // An object whose JSON form is a text stays an object. The other thread sends it as JSON then, and not as plain text.
  if (typeof value !== 'object')
    return typeof given === 'object' && value !== undefined ? Object(value) : value
  if (value === null) return null
  if (at.around.has(value)) throw new ConvokeError('invalid_request', `${at.name} contains itself.`)
  at.around.add(value)
  const copied = Array.isArray(value) ? copyList(value, at) : copyFields(value, at)
  at.around.delete(value)
  return copied
}

/** The value that JSON.stringify would write for an object. Other values are their own form. */
function jsonFormOf(value: unknown, key: string): unknown {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value
  const { toJSON } = value as { toJSON?: unknown }
  const form: unknown = typeof toJSON === 'function' ? toJSON.call(value, key) : value
  if (types.isStringObject(form)) return String(form)
  if (types.isNumberObject(form)) return Number(form)
  return types.isBooleanObject(form) || types.isBigIntObject(form) ? form.valueOf() : form
}

/** @throws ConvokeError `blocking_unavailable` for a function among options, where it may matter */
function leaveOut(value: unknown, { kind, name }: Location): undefined {
  if (kind !== 'options' && kind !== 'setting' && kind !== 'prompt') return undefined
  throw unavailable(
    `${name} is a ${typeof value}, which cannot cross to the thread that runs blocking calls. Use agenerate(), or leave it out.`,
  )
}

/** A loop, because map() takes more of the stack, and JSON may be deep. */
function copyList(list: readonly unknown[], { kind, name, around }: Location): unknown[] {
  const items: unknown[] = []
  for (let at = 0; at < list.length; at++) {
    items.push(copy(list[at], { kind, key: String(at), name: `${name}[${at}]`, around }))
  }
  return items
}

function copyFields(value: object, { kind, name, around }: Location): object {
  const fields: [string, unknown][] = []
  for (const [key, entry] of Object.entries(value)) {
    fields.push([key, copy(entry, { ...useOf(value, key, kind), name: `${name}.${key}`, around })])
  }
  return Object.fromEntries(fields)
}

/** The use of a field, by its holder and its key. */
function useOf(holder: object, key: string, kind: ValueKind): Pick<Location, 'kind' | 'key'> {
  const text: Pick<Location, 'kind' | 'key'> = { kind: 'data', key: '' }
  switch (kind) {
    case 'options':
      if (key === 'messages') return { kind: 'prompt', key }
      return { kind: key === 'tools' || key === 'metadata' ? 'data' : 'setting', key }
    case 'prompt':
      if (key === 'toolCalls') return { kind: 'said', key }
      if (key !== 'content') return { kind: 'data', key }
      if ('toolCallId' in holder) return text
      return { kind: (holder as { role?: unknown }).role === 'user' ? 'parts' : 'said', key }
    case 'said':
      return key === 'result' || key === 'arguments' ? text : { kind: 'data', key }
    case 'parts':
      return { kind: key === 'image' || key === 'file' ? 'media' : 'data', key }
    default:
      return { kind, key }
  }
}
