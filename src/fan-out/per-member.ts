/** Options that each member may have a value of its own for. */
import { ConvokeError } from '../errors.ts'
import type { MemberInfo } from './members.ts'

/** One value for all, or one for each: a list in their order, or an object by key. */
export type PerMember<Value> = Value | readonly (Value | undefined)[] | Readonly<Record<string, Value>>

/**
 * What was given for each seat, in order.
 * @param isRight whether a single value is one
 * @throws ConvokeError `invalid_request` for a key or a place that no member has, or a wrong value
 */
export function perMember<Value>(
  given: PerMember<Value> | undefined,
  slots: readonly MemberInfo[],
  { name, isRight, wanted }: { name: string; isRight: (value: unknown) => boolean; wanted: string },
): (Value | undefined)[] {
  const fail = (what: string) =>
    new ConvokeError(
      'invalid_request',
      `The option ${name} ${what}; it takes ${wanted}, for all, in a list, or by key.`,
    )
  const check = (value: unknown, where: string): Value | undefined => {
    if (value !== undefined && !isRight(value)) throw fail(`is ${String(value)}${where}`)
    return value as Value | undefined
  }
  if (typeof given !== 'object' || given === null) {
    const value = check(given, '')
    return slots.map(() => value)
  }
  if (Array.isArray(given)) {
    if (given.length > slots.length) throw fail(`has ${given.length} entries for ${slots.length} members`)
    return slots.map(({ index }) => check(given[index], ` at ${index}`))
  }
  const byKey = given as Readonly<Record<string, Value>>
  const unknown = Object.keys(byKey).find((key) => !slots.some((slot) => slot.key === key))
  if (unknown !== undefined) {
    throw fail(`names ${unknown}, whom nobody is (there are ${slots.map(({ key }) => key).join(', ')})`)
  }
  return slots.map(({ key }) => check(byKey[key], ` for ${key}`))
}

/** The rule of options that are a deadline. */
export function deadlineRule(name: string) {
  return {
    name,
    isRight: (value: unknown) => typeof value === 'number' && value > 0,
    wanted: 'milliseconds above 0, or Infinity',
  }
}
