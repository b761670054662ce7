/** The one checker of options. Each room keeps the rules of its own options, and checks them here. */
import { ConvokeError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { didYouMean } from './did-you-mean.ts'
import { isAllowed, wantedBy } from './option-rules.ts'
import type { OptionRule, OptionRules } from './option-rules.ts'

export interface CheckContext {
  /** The code of the errors. */
  code: ErrorCode
  /** The function that takes the options; errors begin with it: `[balance] …`. @default none */
  label?: string
  /** The message about a name that has no rule here, where another function takes it. */
  explainUnknown?: (name: string) => string | undefined
}

/**
 * Checks options against the rules of their names. An option that is undefined counts as absent.
 * @throws ConvokeError with the given code, for an option that does not exist or a value that it cannot have
 */
export function checkOptions(options: unknown, rules: OptionRules, context: CheckContext): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw optionsError(context, `The options are ${describeValue(options)}; pass an object.`)
  }
  checkFields(options, rules, '', context)
}

/**
 * Checks one value. Its errors call the option by `path`, such as `timeouts.idleMs`.
 * @throws ConvokeError with the given code, for a value that the option cannot have
 */
export function checkOption(path: string, value: unknown, rule: OptionRule, context: CheckContext): void {
  if (value === undefined) return
  if (!isAllowed(rule, value)) {
    throw optionsError(context, `The option ${path} is ${describeValue(value)}; it takes ${wantedBy(rule)}.`)
  }
  const fields = fieldRulesFor(rule, value)
  if (fields) checkFields(value as object, fields, `${path}.`, context)
}

function checkFields(options: object, rules: OptionRules, prefix: string, context: CheckContext): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
    if (!rule) {
      const hint = didYouMean(name, Object.keys(rules))
      const message = context.explainUnknown?.(prefix + name) ?? `There is no option ${prefix}${name}.${hint}`
      throw optionsError(context, message)
    }
    checkOption(prefix + name, value, rule, context)
  }
}

function fieldRulesFor(rule: OptionRule, value: unknown): OptionRules | undefined {
  if (rule.type === 'object') return rule.fields
  if (rule.type !== 'either') return undefined
  const chosen = rule.rules.find((one) => isAllowed(one, value))
  return chosen && fieldRulesFor(chosen, value)
}

/** An error about options, in the form that all of them share. */
export function optionsError({ code, label }: CheckContext, message: string): ConvokeError {
  return new ConvokeError(code, label === undefined ? message : `[${label}] ${message}`)
}

/** A value in a few words. Objects and functions are not quoted: they may be long, or hold a key. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60))
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return String(value)
  return Array.isArray(value) ? 'a list' : 'an object'
}
