/** Rules for the values of options, as data, so that the check and the words of its error come from one source. */

/** The rules of a group of options, by name. */
export type OptionRules<Name extends string = string> = Readonly<Record<Name, OptionRule>>

export type OptionRule = OptionType & {
  /** Completes "it takes …" where the words made of the rule say too little. */
  readonly wanted?: string
}

type OptionType =
  | { readonly type: 'any' | 'boolean' | 'function' | 'string' }
  | NumberType
  /** One of these strings. */
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  | { readonly type: 'list'; readonly of?: OptionRule; readonly length?: number }
  /** An object, whose fields are options of their own where `fields` has rules for them. */
  | { readonly type: 'object'; readonly fields?: OptionRules }
  /** A value that one of these rules allows. */
  | { readonly type: 'either'; readonly rules: readonly OptionRule[] }
  | { readonly type: 'custom'; readonly isValid: (value: unknown) => boolean; readonly wanted: string }

interface NumberType {
  readonly type: 'number'
  /** Such as `milliseconds`: the words for the number. */
  readonly unit?: string
  readonly isWhole?: boolean
  readonly above?: number
  readonly from?: number
  readonly below?: number
  readonly to?: number
  /** `Infinity` stands for "no limit". */
  readonly allowsInfinity?: boolean
}

/** A whole number from 1. */
export const positiveWhole = { type: 'number', isWhole: true, from: 1 } as const
export const positiveNumber = { type: 'number', above: 0 } as const
/** Milliseconds above 0. */
export const positiveMs = { type: 'number', unit: 'milliseconds', above: 0 } as const
/** A time limit in milliseconds; `Infinity` switches it off. */
export const limitMs = { ...positiveMs, allowsInfinity: true } as const

/** Whether the rule allows a value. The fields of an object are not looked at. */
export function isAllowed(rule: OptionRule, value: unknown): boolean {
  switch (rule.type) {
    case 'any':
      return true
    case 'boolean':
    case 'function':
    case 'string':
      return typeof value === rule.type
    case 'number':
      return typeof value === 'number' && isInRange(rule, value)
    case 'choice':
      return rule.choices.includes(value as string)
    case 'list':
      return Array.isArray(value) && hasAllowedEntries(rule, value)
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'either':
      return rule.rules.some((one) => isAllowed(one, value))
    case 'custom':
      return rule.isValid(value)
    default:
      return rule satisfies never
  }
}

function isInRange(rule: NumberType, value: number): boolean {
  const { isWhole = false, above = -Infinity, from = -Infinity, below = Infinity, to = Infinity } = rule
  if (value === Infinity) return rule.allowsInfinity === true
  if (!Number.isFinite(value) || (isWhole && !Number.isInteger(value))) return false
  return value > above && value >= from && value < below && value <= to
}

function hasAllowedEntries(
  { of, length }: { of?: OptionRule; length?: number },
  list: readonly unknown[],
): boolean {
  return (
    (length === undefined || list.length === length) &&
    (of === undefined || list.every((entry) => isAllowed(of, entry)))
  )
}

/** The values that the rule allows, in words. Completes "it takes …". */
export function wantedBy(rule: OptionRule): string {
  if (rule.wanted !== undefined) return rule.wanted
  switch (rule.type) {
    case 'any':
      return 'any value'
    case 'boolean':
      return 'true or false'
    case 'function':
      return 'a function'
    case 'string':
      return 'a string'
    case 'number':
      return rangeInWords(rule)
    case 'choice':
      return eitherOf(rule.choices.map((choice) => `'${choice}'`))
    case 'list':
      return rule.of?.type === 'string' ? 'a list of strings' : 'a list'
    case 'object':
      return 'an object'
    case 'either':
      return eitherOf(rule.rules.map(wantedBy))
    case 'custom':
      return rule.wanted
    default:
      return rule satisfies never
  }
}

function rangeInWords({ unit, isWhole, above, from, below, to, allowsInfinity }: NumberType): string {
  const words = [unit ?? (isWhole ? 'a whole number' : 'a number')]
  if (above !== undefined) words.push(`above ${above}`)
  if (from !== undefined) words.push(`from ${from}`)
  if (below !== undefined) words.push(`and below ${below}`)
  if (to !== undefined) words.push(from === undefined ? `and at most ${to}` : `to ${to}`)
  return `${words.join(' ')}${allowsInfinity ? ', or Infinity' : ''}`
}

function eitherOf(words: readonly string[]): string {
  if (words.length < 2) return words.join()
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
