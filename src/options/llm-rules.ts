/** The rules of the options that `createLLM` takes beside those of a call (see `LLMOptions`). */
import type { GenerateOptions } from './generate-options.ts'
import type { LLMOptions } from './llm-options.ts'
import { positiveMs, positiveWhole } from './option-rules.ts'
import type { OptionRule, OptionRules } from './option-rules.ts'

const string: OptionRule = { type: 'string' }
const bytes: OptionRule = { type: 'number', unit: 'a number of bytes', above: 0, allowsInfinity: true }

export const llmRules: OptionRules<Exclude<keyof LLMOptions, keyof GenerateOptions>> = {
  apiKey: { type: 'either', rules: [string, { type: 'list', of: string }, { type: 'function' }] },
  baseURL: {
    type: 'custom',
    isValid: (value) => typeof value === 'string' && URL.canParse(value),
    wanted: 'a URL, such as http://127.0.0.1:8080/v1',
  },
  headers: { type: 'object', wanted: 'an object of strings' },
  fetch: { type: 'function' },
  // Any string passes here: an error about it would quote it, and with it the password that it may hold. The provider's
  // configuration checks the address, and does not quote it.
  proxy: {
    type: 'custom',
    isValid: (value) => value === false || typeof value === 'string',
    wanted: 'a URL, such as http://proxy.example:3128, or false',
  },
  api: { type: 'choice', choices: ['chat', 'responses'] },
  maxConcurrent: { ...positiveWhole, allowsInfinity: true },
  maxQueue: { type: 'number', isWhole: true, from: 0, allowsInfinity: true },
  maxLineBytes: bytes,
  maxResponseBytes: bytes,
  name: string,
  blocking: { type: 'choice', choices: ['allow'] },
  rateLimit: {
    type: 'object',
    wanted: 'an object, such as { requestsPerMinute: 60 }',
    fields: {
      requestsPerMinute: { ...positiveWhole, allowsInfinity: true },
      tokensPerMinute: { type: 'number', above: 0, allowsInfinity: true },
    },
  },
  circuitBreaker: {
    type: 'either',
    rules: [
      { type: 'boolean' },
      { type: 'object', fields: { failures: positiveWhole, cooldownMs: positiveMs } },
    ],
    wanted: 'true, false or { failures, cooldownMs }',
  },
}
