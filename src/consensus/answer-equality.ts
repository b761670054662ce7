/**
 * Decides when two answers are the same.
 *
 * Room `consensus`: votes over the answers of many LLMs. Imported by `blocking/thread`, `index`.
 */
import { canonicalJson, orderedEntries } from '../request/canonical-json.ts'
import type { Tolerance } from './answer.ts'
import type { Ballot } from './strategy.ts'

/**
 * Two texts are the same when `normalize` makes them equal, two numbers when they differ by no more than the tolerance,
 * and two lists or objects when all their entries are the same.
 */
export function answerEquality(
  normalize: (text: string) => string,
  tolerance: Tolerance | undefined,
): Pick<Ballot, 'isSame' | 'keyOf'> {
  // Each new vote causes a new count of all votes, so keys are kept.
  const keys = new Map<unknown, string>()
  const keyOf = (answer: unknown) => {
    const key = keys.get(answer) ?? answerKey(answer, normalize)
    keys.set(answer, key)
    return key
  }
  const isExact = tolerance === undefined || tolerance === 0
  if (isExact) return { isSame: (a, b) => keyOf(a) === keyOf(b), keyOf }
  return { isSame: (a, b) => isNear(a, b, { normalize, tolerance }), keyOf: undefined }
}

/** Equal for equal answers. Values that JSON cannot hold (NaN, undefined, a bigint) are written as their names. */
function answerKey(answer: unknown, normalize: (text: string) => string): string {
  return canonicalJson(answer, (value) => {
    if (typeof value === 'string') return JSON.stringify(normalize(value))
    if (value instanceof Date) return `Date(${value.getTime()})`
    return typeof value === 'object' && value !== null ? undefined : String(value)
  })
}

function isNear(
  a: unknown,
  b: unknown,
  how: { normalize: (text: string) => string; tolerance: Tolerance },
): boolean {
  if (typeof a === 'number' && typeof b === 'number') return areNumbersNear(a, b, how.tolerance)
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((entry, at) => isNear(entry, b[at], how))
  }
  if (isPlainObject(a) && isPlainObject(b)) {
    const [left, right] = [orderedEntries(a), orderedEntries(b)]
    return (
      left.length === right.length &&
      left.every(([name, entry], at) => name === right[at]?.[0] && isNear(entry, right[at]?.[1], how))
    )
  }
  return answerKey(a, how.normalize) === answerKey(b, how.normalize)
}

function areNumbersNear(a: number, b: number, tolerance: Tolerance): boolean {
  const largest = Math.max(Math.abs(a), Math.abs(b))
  const limit = typeof tolerance === 'number' ? tolerance : tolerance.relative * largest
  // Doubles are rounded in their last digits: 0.1 + 0.2 differs from 0.3 by 5e-17, which must not count.
  return Math.abs(a - b) <= limit + Number.EPSILON * 4 * largest
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
