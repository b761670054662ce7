/** Every message that crosses a thread, and how errors do. */
import { ConvokeError, isConvokeError } from './errors.ts'
import type { ConvokeErrorOptions, ErrorCode } from './errors.ts'

/** What a worker answers. Errors lose their class between threads, so they cross as data. */
export type Answer<Value> = { isOk: true; value: Value } | { isOk: false; error: PlainError }

/** Texts to count. Without texts, a task of a vocabulary builds its table, for all threads to share. */
export interface TokenizeTask {
  vocabulary: Vocabulary
  table?: SharedArrayBuffer
  texts: string[]
}

/** The counts of the task's texts, in their order: tokens themselves would stall the thread that reads them. */
export interface TokenizeValue {
  counts: number[]
  table?: SharedArrayBuffer
}

/** What counts: one of OpenAI's vocabularies, or the characters alone. */
export type Vocabulary = 'o200k_base' | 'cl100k_base' | 'estimate'

/** A ConvokeError as data. */
export interface PlainError {
  code: ErrorCode
  message: string
  stack?: string
  cause?: PlainCause
  fields: Omit<ConvokeErrorOptions, 'cause'>
}

/** Any other error, as far as it is worth telling. */
export interface PlainCause {
  name: string
  message: string
  code?: string
  stack?: string
  cause?: PlainCause
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
  const cause = toPlainCause(error)
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
  if (!(value instanceof Error)) return { name: 'Error', message: String(value) }
  const { name, message, stack, cause } = value
  const { code } = value as { code?: unknown }
  return {
    name,
    message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(stack === undefined ? {} : { stack }),
    ...(cause === undefined ? {} : { cause: toPlainCause(cause) }),
  }
}

function fromPlainCause({ name, message, code, stack, cause }: PlainCause): Error {
  const error = new Error(message, cause === undefined ? undefined : { cause: fromPlainCause(cause) })
  error.name = name
  return Object.assign(error, code === undefined ? {} : { code }, stack === undefined ? {} : { stack })
}
