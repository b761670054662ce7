/** Options that can have a value for each member. */
import { checkOption, optionsError } from '../options/check-options.ts'
import type { CheckContext } from '../options/check-options.ts'
import type { OptionRule } from '../options/option-rules.ts'
import { wantedBy } from '../options/option-rules.ts'
import type { MemberInfo } from './members.ts'

/** One value for all, or one for each: a list in the members' order, or an object by key. */
export type PerMember<Value> = Value | readonly (Value | undefined)[] | Readonly<Record<string, Value>>

/**
 * The value of each member, in the members' order; undefined where none was given.
 * @param rule of a single value
 * @param label the function that takes the option
 * @throws ConvokeError `invalid_request` for a wrong value, an unknown key, or more values than members
 */
export function perMember<Value>(
  given: PerMember<Value> | undefined,
  slots: readonly MemberInfo[],
  { name, rule, label }: { name: string; rule: OptionRule; label: string },
): (Value | undefined)[] {
  const context: CheckContext = { code: 'invalid_request', label }
  const check = (value: unknown, path: string): Value | undefined => {
    const wanted = `${wantedBy(rule)}, for all members, in a list, or by key`
    checkOption(path, value, { ...rule, wanted }, context)
    return value as Value | undefined
  }
  if (typeof given !== 'object' || given === null) {
    const value = check(given, name)
    return slots.map(() => value)
  }
  if (Array.isArray(given)) {
    if (given.length > slots.length) {
      const members = slots.length === 1 ? '1 member' : `${slots.length} members`
      throw optionsError(context, `The option ${name} has ${given.length} entries for ${members}.`)
    }
    return slots.map(({ index }) => check(given[index], `${name}[${index}]`))
  }
  const byKey = given as Readonly<Record<string, Value>>
  const keys = slots.map(({ key }) => key)
  const unknown = Object.keys(byKey).find((key) => !keys.includes(key))
  if (unknown !== undefined) {
    throw optionsError(context, `Unknown member "${unknown}" in ${name}; members are ${keys.join(', ')}.`)
  }
  return keys.map((key) => check(byKey[key], `${name}.${key}`))
}
