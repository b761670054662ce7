/** Checks the options of a session. */
import { checkOptions } from '../options/check-options.ts'
import type { OptionRules } from '../options/option-rules.ts'
import type { SessionOptions } from './session-options.ts'

const rules: OptionRules<keyof SessionOptions> = {
  store: { type: 'either', rules: [{ type: 'string' }, { type: 'object' }], wanted: 'a path or a store' },
  id: {
    type: 'custom',
    isValid: (value) => typeof value === 'string' && value !== '',
    wanted: 'a string that is not empty',
  },
  system: { type: 'string' },
  context: {
    type: 'object',
    wanted: 'an object, such as { maxTokens: 100_000 }',
    fields: {
      maxTokens: { type: 'number', unit: 'a number of tokens', above: 0, allowsInfinity: true },
      onOverflow: { type: 'choice', choices: ['trim', 'compact', 'error'] },
    },
  },
  turns: { type: 'choice', choices: ['queue', 'reject', 'fork'] },
  metadata: { type: 'object' },
}

/** @throws ConvokeError `configuration` for an option that does not exist or a value that it cannot have */
export function checkSessionOptions(options: SessionOptions): void {
  checkOptions(options, rules, { code: 'configuration', label: 'session' })
}
