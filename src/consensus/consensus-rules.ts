/** The rules of the options that `consensus` takes beside those of a call. */
import { limitMs } from '../options/option-rules.ts'
import type { OptionRule, OptionRules } from '../options/option-rules.ts'
import { normalizeText } from './answer.ts'

/** @param members how many there are: no quorum is larger */
export function consensusRules(members: number): OptionRules {
  return {
    strategy: strategyRule,
    choices: choicesRule,
    tolerance: toleranceRule,
    vote: { type: 'choice', choices: ['whole', 'fields'] },
    quorum: {
      type: 'number',
      isWhole: true,
      from: 1,
      to: members,
      wanted: `a whole number from 1 to ${members}, the number of members`,
    },
    timeoutMs: limitMs,
    // perMember checks it: it knows the members' keys.
    memberTimeoutMs: { type: 'any' },
    rounds: { type: 'number', isWhole: true, from: 1, to: 100 },
    confidence: { type: 'number', from: 0, to: 1 },
    shuffleSeed: { type: 'number' },
  }
}

const strategyRule: OptionRule = {
  type: 'custom',
  isValid: (value) =>
    typeof value === 'function' || typeof (value as { decide?: unknown } | null)?.decide === 'function',
  wanted:
    'majority(), unanimous(), weighted({ weights }), judge(llm), synthesize(llm), cluster(), or a function',
}

const choicesRule: OptionRule = {
  type: 'custom',
  isValid: (value) =>
    Array.isArray(value) &&
    value.length > 1 &&
    value.every((choice) => typeof choice === 'string' && normalizeText(choice) !== ''),
  wanted: 'a list of two or more strings',
}

const toleranceRule: OptionRule = {
  type: 'custom',
  isValid(value) {
    const size = typeof value === 'object' ? (value as { relative?: unknown } | null)?.relative : value
    return typeof size === 'number' && size >= 0 && size !== Infinity
  },
  wanted: 'a number from 0, or { relative: 0.01 }',
}
