/** Errors as data, and values that hold some: they lose their class between threads. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { ConvokeErrorOptions, ErrorCode } from '../errors.ts'

/** A ConvokeError as data. */
export interface SerializedError {
  code: ErrorCode
  message: string
  stack?: string
  cause?: SerializedCause
  fields: Omit<ConvokeErrorOptions, 'cause'>
}

/** What an error comes from: another ConvokeError, any other error, or what was given for a reason. */
export type SerializedCause = { convoke: SerializedError } | { error: SerializedOther } | { value: unknown }

interface SerializedOther {
  name: string
  message: string
  stack?: string
  cause?: SerializedCause
  /** Of an AggregateError: a connection that was tried at several addresses, say. */
  errors?: SerializedCause[]
  /** Its own: a code, or the vendor's status, headers and body. */
  fields: Record<string, unknown>
}

/** A chain of causes may be a circle. */
const maxDepth = 8

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
  const { message } = error instanceof Error ? error : { message: String(error) }
  return { code: 'worker_lost', message, cause: serializeCause(error, depth), fields: {} }
}

export function deserializeError({ code, message, stack, cause, fields }: SerializedError): ConvokeError {
  // The message has its provider's name in front already.
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
  if (!(value instanceof Error)) return { value: canCross(value) ? value : String(value) }
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

function deserializeCause(plain: SerializedCause): unknown {
  if ('convoke' in plain) return deserializeError(plain.convoke)
  if ('value' in plain) return plain.value
  const { name, message, stack, cause, errors, fields } = plain.error
  const options = cause === undefined ? undefined : { cause: deserializeCause(cause) }
  const error = errors
    ? new AggregateError(errors.map(deserializeCause), message, options)
    : new Error(message, options)
  if (error.name !== name) error.name = name
  return Object.assign(error, fields, stack === undefined ? {} : { stack })
}

const told = new Set(['name', 'message', 'stack', 'cause', 'errors'])

function ownFields(error: Error): Record<string, unknown> {
  return Object.fromEntries(Object.entries(error).filter(([key, value]) => !told.has(key) && canCross(value)))
}

/** What cannot be cloned is not worth an error about an error. */
function canCross(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

/** What no data of users or vendors is called. */
const serializedErrorKey = '\0plain error'

/** A value with errors anywhere inside, as data: they lose their class between threads. */
export function serializeErrorsIn(value: unknown): unknown {
  return replaced(value, (inner) =>
    isConvokeError(inner) ? { [serializedErrorKey]: serializeError(inner) } : undefined,
  )
}

export function deserializeErrorsIn(value: unknown): unknown {
  return replaced(value, (inner) => {
    const plain = (inner as { [serializedErrorKey]?: SerializedError })[serializedErrorKey]
    return plain && deserializeError(plain)
  })
}

/** A copy of lists and plain objects in which something stands for some of the objects. */
function replaced(value: unknown, replace: (inner: object) => unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const other = replace(value)
  if (other !== undefined) return other
  if (Array.isArray(value)) return value.map((inner) => replaced(inner, replace))
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replaced(inner, replace)]))
}
