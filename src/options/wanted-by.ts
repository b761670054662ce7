/** Puts a rule into words, for errors. */
import type { NumberType, OptionRule } from './option-rules.ts'

/** What the rule allows. Completes "it takes …". */
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
