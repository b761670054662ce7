/** When two answers are one and the same. */
import type { Tolerance } from './answer.ts'
import type { Ballot } from './strategy.ts'

/** Of texts by `normalize`, of numbers within the tolerance, of lists and objects entry by entry. */
export function answerEquality(
  normalize: (text: string) => string,
  tolerance: Tolerance | undefined,
): Pick<Ballot, 'isSame' | 'keyOf'> {
  // Every vote is counted anew with every further one.
  const keys = new Map<unknown, string>()
  const keyOf = (answer: unknown) => {
    const key = keys.get(answer) ?? canonical(answer, normalize)
    keys.set(answer, key)
    return key
  }
  const isExact = tolerance === undefined || tolerance === 0
  if (isExact) return { isSame: (a, b) => keyOf(a) === keyOf(b), keyOf }
  return { isSame: (a, b) => isNear(a, b, { normalize, tolerance }), keyOf: undefined }
}

/** JSON with the names in order; -0 is 0, and what JSON has no word for stands as its name. */
function canonical(value: unknown, normalize: (text: string) => string): string {
  if (typeof value === 'string') return JSON.stringify(normalize(value))
  if (Array.isArray(value)) return `[${value.map((entry) => canonical(entry, normalize)).join()}]`
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (typeof value === 'object' && value !== null) {
    const entries = definedEntries(value).map(
      ([name, entry]) => `${JSON.stringify(name)}:${canonical(entry, normalize)}`,
    )
    return `{${entries.join()}}`
  }
  return String(value)
}

function isNear(
  a: unknown,
  b: unknown,
  how: { normalize: (text: string) => string; tolerance: Tolerance },
): boolean {
  if (typeof a === 'number' && typeof b === 'number') {
    const { tolerance } = how
    const limit =
      typeof tolerance === 'number' ? tolerance : tolerance.relative * Math.max(Math.abs(a), Math.abs(b))
    // 0.1 + 0.2 is within 0.3 of nothing by 5e-17: the last digits of a double decide nothing.
    return Math.abs(a - b) <= limit + Number.EPSILON * 4 * Math.max(Math.abs(a), Math.abs(b))
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((entry, at) => isNear(entry, b[at], how))
  }
  if (isFields(a) && isFields(b)) {
    const [left, right] = [definedEntries(a), definedEntries(b)]
    return (
      left.length === right.length &&
      left.every(([name, entry], at) => name === right[at]?.[0] && isNear(entry, right[at]?.[1], how))
    )
  }
  return canonical(a, how.normalize) === canonical(b, how.normalize)
}

function definedEntries(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

function isFields(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
