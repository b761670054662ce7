/** Errors as data, and back: errors lose their class between threads. */
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import type { ConvokeErrorOptions, ErrorCode } from '../errors.ts'

/** A ConvokeError as data. */
export interface SerializedError {
  code: ErrorCode
  message: string
  stack?: string
  cause?: SerializedCause
  fields: Omit<ConvokeErrorOptions, 'cause'>
}

/** A cause: a ConvokeError, another error, or any other value that was thrown or given as a reason. */
type SerializedCause = { convoke: SerializedError } | { error: SerializedOther } | { value: unknown }

interface SerializedOther {
  name: string
  message: string
  stack?: string
  cause?: SerializedCause
  /** The errors of an AggregateError: those of a connection that was tried at several addresses, say. */
  errors?: SerializedCause[]
  /** Its own properties: a code, or the vendor's status, headers and body. */
  fields: Record<string, unknown>
}

/** Causes deeper than this are left out: a chain of causes may be a circle. */
const maxDepth = 8

/** An error that is not a ConvokeError becomes the cause of one with code `worker_lost`. */
export function serializeError(error: unknown, depth = 0): SerializedError {
  if (isConvokeError(error)) {
    const { code, message, stack, cause, name: _name, ...fields } = error
    return {
      code,
      message,
      fields,
      ...(stack === undefined ? {} : { stack }),
      ...causeOf(cause, depth),
    }
  }
  return { code: 'worker_lost', message: messageOf(error), cause: serializeCause(error, depth), fields: {} }
}

export function deserializeError({ code, message, stack, cause, fields }: SerializedError): ConvokeError {
  // The provider is set afterwards: given to the constructor, its name would be put before the message a second time.
  const { provider, ...rest } = fields
  const error = new ConvokeError(code, message, {
    ...rest,
    ...(cause === undefined ? {} : { cause: deserializeCause(cause) }),
  })
  return Object.assign(
    error,
    provider === undefined ? {} : { provider },
    stack === undefined ? {} : { stack },
  )
}

function causeOf(cause: unknown, depth: number): { cause?: SerializedCause } {
  return cause === undefined || depth >= maxDepth ? {} : { cause: serializeCause(cause, depth + 1) }
}

function serializeCause(value: unknown, depth: number): SerializedCause {
  if (isConvokeError(value)) return { convoke: serializeError(value, depth) }
  if (!(value instanceof Error)) return { value: canClone(value) ? value : String(value) }
  const { name, message, stack, cause } = value
  const { errors, code } = value as Partial<AggregateError> & { code?: unknown }
  return {
    error: {
      name,
      message,
      fields: { ...(typeof code === 'string' ? { code } : {}), ...ownFields(value) },
      ...(stack === undefined ? {} : { stack }),
      ...causeOf(cause, depth),
      ...(Array.isArray(errors) && depth < maxDepth
        ? { errors: errors.map((one) => serializeCause(one, depth + 1)) }
        : {}),
    },
  }
}

function deserializeCause(serialized: SerializedCause): unknown {
  if ('convoke' in serialized) return deserializeError(serialized.convoke)
  if ('value' in serialized) return serialized.value
  const { name, message, stack, cause, errors, fields } = serialized.error
  const options = cause === undefined ? undefined : { cause: deserializeCause(cause) }
  const error = errors
    ? new AggregateError(errors.map(deserializeCause), message, options)
    : new Error(message, options)
  if (error.name !== name) error.name = name
  return Object.assign(error, fields, stack === undefined ? {} : { stack })
}

/** Fields that are serialized by name. */
const namedFields = new Set(['name', 'message', 'stack', 'cause', 'errors'])

function ownFields(error: Error): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(error).filter(([key, value]) => !namedFields.has(key) && canClone(value)),
  )
}

/** Whether a value can be sent to another thread. One that cannot is left out, since the error itself matters more. */
function canClone(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

/** The key that marks an error in data. The NUL character keeps it apart from keys of users and vendors. */
const serializedErrorKey = '\0serialized error'

/** A copy of a value in which each ConvokeError, however deep, is data. */
export function serializeErrorsIn(value: unknown): unknown {
  return mapObjects(value, (inner) =>
    isConvokeError(inner) ? { [serializedErrorKey]: serializeError(inner) } : undefined,
  )
}

/** Undoes `serializeErrorsIn`. */
export function deserializeErrorsIn(value: unknown): unknown {
  return mapObjects(value, (inner) => {
    const serialized = (inner as { [serializedErrorKey]?: SerializedError })[serializedErrorKey]
    return serialized && deserializeError(serialized)
  })
}

/** A deep copy in which `replace` may give another value for each object. Only lists and plain objects are copied. */
function mapObjects(value: unknown, replace: (inner: object) => unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const replacement = replace(value)
  if (replacement !== undefined) return replacement
  if (Array.isArray(value)) return value.map((inner) => mapObjects(inner, replace))
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, mapObjects(inner, replace)]))
}
