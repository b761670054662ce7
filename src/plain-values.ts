/** Values that hold what loses its class between threads. */
import { isConvokeError } from './errors.ts'
import { fromPlainError, toPlainError } from './plain-errors.ts'
import type { PlainError } from './plain-errors.ts'

/** What no data of users or vendors is called. */
const plainError = '\0plain error'

/** A value with errors anywhere inside, as data: they lose their class between threads. */
export function withPlainErrors(value: unknown): unknown {
  return replaced(value, (inner) =>
    isConvokeError(inner) ? { [plainError]: toPlainError(inner) } : undefined,
  )
}

export function withErrors(value: unknown): unknown {
  return replaced(value, (inner) => {
    const plain = (inner as { [plainError]?: PlainError })[plainError]
    return plain && fromPlainError(plain)
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
