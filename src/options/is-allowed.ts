/** Tests a value against a rule. */
import type { NumberType, OptionRule } from './option-rules.ts'

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
