/** What of a call can cross to another thread: data, in the form that the async side would send it in. */
import { types } from 'node:util'
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import { unavailable } from './may-block.ts'

/**
 * What a value is for. Functions among options may matter (`fetch`, a tool that a vendor's SDK calls), so they are refused;
 * in messages, tools and metadata they are left out, as JSON leaves them out. Bytes are bytes in a user's parts alone.
 */
type ValueKind = 'options' | 'setting' | 'prompt' | 'said' | 'parts' | 'media' | 'data'

/** Where a value stands. */
interface Location {
  kind: ValueKind
  /** Its name in what holds it, as `toJSON` is told; none where it is sent as a JSON text of its own. */
  key: string
  /** How an error calls it. */
  name: string
  /** What it is inside of. */
  around: Set<object>
}

/**
 * A copy without anything that only this thread has: of what has a form of its own in JSON, that.
 * @param name how an error calls the value
 * @throws ConvokeError `blocking_unavailable` for a function that may matter, `invalid_request` for what JSON cannot hold
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
    // Nested deeper than a stack is, or with a toJSON() that throws.
    const reason = messageOf(cause)
    throw new ConvokeError('invalid_request', `JSON cannot hold ${name}: ${reason}`, { cause })
  }
}

function copy(given: unknown, at: Location): unknown {
  // Of a Buffer, the pool around it would cross as well.
  if (at.kind === 'media' && given instanceof Uint8Array) return new Uint8Array(given)
  if (at.kind === 'media' && given instanceof URL) return given.href
  const value = formOf(given, at.key)
  if (typeof value === 'function' || typeof value === 'symbol') return leftOut(value, at)
  // What was an object stays one: a text is sent as it is, an object whose JSON is a text as JSON.
  if (typeof value !== 'object')
    return typeof given === 'object' && value !== undefined ? Object(value) : value
  if (value === null) return null
  if (at.around.has(value)) throw new ConvokeError('invalid_request', `${at.name} contains itself.`)
  at.around.add(value)
  const copied = Array.isArray(value) ? listOf(value, at) : fieldsOf(value, at)
  at.around.delete(value)
  return copied
}

/** What stands for it in JSON, whose other values are as they are. */
function formOf(value: unknown, key: string): unknown {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return value
  const { toJSON } = value as { toJSON?: unknown }
  const form: unknown = typeof toJSON === 'function' ? toJSON.call(value, key) : value
  if (types.isStringObject(form)) return String(form)
  if (types.isNumberObject(form)) return Number(form)
  return types.isBooleanObject(form) || types.isBigIntObject(form) ? form.valueOf() : form
}

/** @throws ConvokeError `blocking_unavailable` where it may matter */
function leftOut(value: unknown, { kind, name }: Location): undefined {
  if (kind !== 'options' && kind !== 'setting' && kind !== 'prompt') return undefined
  throw unavailable(
    `${name} is a ${typeof value}, which cannot cross to the thread that runs blocking calls. Use agenerate(), or leave it out.`,
  )
}

/** No map(), which takes more of the stack: what JSON can hold is deep. */
function listOf(list: readonly unknown[], { kind, name, around }: Location): unknown[] {
  const items: unknown[] = []
  for (let at = 0; at < list.length; at++) {
    items.push(copy(list[at], { kind, key: String(at), name: `${name}[${at}]`, around }))
  }
  return items
}

function fieldsOf(value: object, { kind, name, around }: Location): object {
  const fields: [string, unknown][] = []
  for (const [key, entry] of Object.entries(value)) {
    fields.push([key, copy(entry, { ...inside(value, key, kind), name: `${name}.${key}`, around })])
  }
  return Object.fromEntries(fields)
}

function inside(holder: object, key: string, kind: ValueKind): Pick<Location, 'kind' | 'key'> {
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
