/** Errors as data: they lose their class between threads. */
import { ConvokeError, isConvokeError } from './errors.ts'
import type { ConvokeErrorOptions, ErrorCode } from './errors.ts'

/** A ConvokeError as data. */
export interface PlainError {
  code: ErrorCode
  message: string
  stack?: string
  cause?: PlainCause
  fields: Omit<ConvokeErrorOptions, 'cause'>
}

/** What an error comes from: another ConvokeError, or any other error, as far as it is worth telling. */
export type PlainCause = { convoke: PlainError } | PlainOther

interface PlainOther {
  name: string
  message: string
  code?: string
  stack?: string
  cause?: PlainCause
  /** Of an AggregateError: a connection that was tried at several addresses, say. */
  errors?: PlainCause[]
}

export function toPlainError(error: unknown): PlainError {
  if (isConvokeError(error)) {
    const { code, message, stack, cause, name: _name, ...fields } = error
    return {
      code,
      message,
      fields,
      ...(stack === undefined ? {} : { stack }),
      ...(cause === undefined ? {} : { cause: toPlainCause(cause) }),
    }
  }
  const cause = toPlainOther(error)
  return { code: 'worker_lost', message: cause.message, cause, fields: {} }
}

export function fromPlainError({ code, message, stack, cause, fields }: PlainError): ConvokeError {
  // The message has its provider's name in front already.
  const { provider, ...rest } = fields
  const error = new ConvokeError(code, message, {
    ...rest,
    ...(cause === undefined ? {} : { cause: fromPlainCause(cause) }),
  })
  return Object.assign(
    error,
    provider === undefined ? {} : { provider },
    stack === undefined ? {} : { stack },
  )
}

function toPlainCause(value: unknown): PlainCause {
  return isConvokeError(value) ? { convoke: toPlainError(value) } : toPlainOther(value)
}

function toPlainOther(value: unknown): PlainOther {
  if (!(value instanceof Error)) return { name: 'Error', message: String(value) }
  const { name, message, stack, cause } = value
  const { code, errors } = value as { code?: unknown; errors?: unknown }
  return {
    name,
    message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause: toPlainCause(cause) }),
    ...(value instanceof AggregateError && Array.isArray(errors) ? { errors: errors.map(toPlainCause) } : {}),
  }
}

function fromPlainCause(plain: PlainCause): Error {
  if ('convoke' in plain) return fromPlainError(plain.convoke)
  const { name, message, code, stack, cause, errors } = plain
  const options = cause === undefined ? undefined : { cause: fromPlainCause(cause) }
  const error = errors
    ? new AggregateError(errors.map(fromPlainCause), message, options)
    : new Error(message, options)
  if (error.name !== name) error.name = name
  return Object.assign(error, code === undefined ? {} : { code }, stack === undefined ? {} : { stack })
}
