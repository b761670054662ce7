/** The one checker of options: its rules, and the form of its errors. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import {
  balance,
  cached,
  cluster,
  consensus,
  createLLM,
  createSession,
  fanOut,
  isConvokeError,
  weighted,
} from 'convoke'
import type { OptionRule } from '../../src/options/option-rules.ts'
import { isAllowed, limitMs, positiveWhole, wantedBy } from '../../src/options/option-rules.ts'

const llm = createLLM('openai/m', { apiKey: 'x', baseURL: 'http://127.0.0.1:9' })
const bad = (options: object) => options as never

for (const [message, make] of [
  [
    '[openai] The option maxTokens is -1; it takes a whole number from 1.',
    () => llm.stream('x', { maxTokens: -1 }),
  ],
  [
    '[openai] There is no option temprature. Did you mean temperature?',
    () => llm.stream('x', bad({ temprature: 1 })),
  ],
  [
    '[openai] The option name belongs to createLLM, not to a call.',
    () => llm.stream('x', bad({ name: 'x' })),
  ],
  [
    "[balance] The option strategy is \"fastest\"; it takes 'round-robin', 'least-busy', 'random' or 'weighted'.",
    () => balance([llm], bad({ strategy: 'fastest' })),
  ],
  [
    '[balance] There is no option stratgy. Did you mean strategy?',
    () => balance([llm], bad({ stratgy: 'random' })),
  ],
  [
    '[cached] The option ttlMs is Infinity; it takes milliseconds above 0.',
    () => cached(llm, new Map(), { ttlMs: Infinity }),
  ],
  ['[cached] The options are null; pass an object.', () => cached(llm, new Map(), null as never)],
  [
    '[consensus] The option quorum is 2; it takes a whole number from 1 to 1, the number of members.',
    () => consensus([llm], 'x', { quorum: 2 }),
  ],
  [
    '[consensus] The option choices is a list; it takes a list of two or more strings.',
    () => consensus([llm], 'x', { choices: ['a'] }),
  ],
  [
    '[consensus] The option choices has "yes." twice: case and punctuation do not count.',
    () => consensus([llm], 'x', { choices: ['Yes', 'yes.'] }),
  ],
  [
    '[consensus] The option memberTimeoutMs[0] is 0; it takes milliseconds above 0, or Infinity, for all members, in a list, or by key.',
    () => consensus([llm], 'x', { memberTimeoutMs: [0] }),
  ],
  [
    '[fanOut] There is no option timeoutMS. Did you mean timeoutMs?',
    () => fanOut([llm], 'x', bad({ timeoutMS: 1, stream: true })),
  ],
  [
    '[fanOut] Unknown member "b" in timeoutMs; members are openai/m.',
    () => fanOut([llm], 'x', { timeoutMs: { b: 1 }, stream: true }),
  ],
  [
    '[session] The option context.maxTokens is 0; it takes a number of tokens above 0, or Infinity.',
    () => createSession(llm, { context: { maxTokens: 0 } }),
  ],
  [
    '[cluster] The option threshold is 2; it takes a number above 0 and at most 1.',
    () => cluster(undefined, { threshold: 2 }),
  ],
  [
    '[weighted] The option weights is 2; it takes a list such as [2, 1, 1], or an object such as { key: 2 }.',
    () => weighted({ weights: 2 as never }),
  ],
] as [string, () => unknown][]) {
  test(`an error names the option, its value and the remedy: ${message}`, () => {
    assert.throws(make, (error) => isConvokeError(error) && error.message === message)
  })
}

for (const [rule, wanted, allowed, refused] of [
  [positiveWhole, 'a whole number from 1', [1, 2 ** 40], [0, 1.5, Infinity, NaN, '1', null]],
  [limitMs, 'milliseconds above 0, or Infinity', [0.5, Infinity], [0, -1, -Infinity, NaN]],
  [{ type: 'number', above: 0, below: 1 }, 'a number above 0 and below 1', [0.5], [0, 1]],
  [{ type: 'number', from: 0, to: 1 }, 'a number from 0 to 1', [0, 1], [-0.1, 1.1]],
  [{ type: 'choice', choices: ['a', 'b', 'c'] }, "'a', 'b' or 'c'", ['a'], ['d', 1]],
  [{ type: 'list', of: { type: 'string' } }, 'a list of strings', [[], ['a']], [[1], 'a', {}]],
  [{ type: 'list', of: positiveWhole, length: 1 }, 'a list', [[1]], [[], [0], [1, 1]]],
  [{ type: 'object' }, 'an object', [{}, new Map()], [[], null, () => 1]],
  [
    { type: 'either', rules: [{ type: 'boolean' }, { type: 'function' }] },
    'true or false or a function',
    [true, () => 1],
    [1],
  ],
] as [OptionRule, string, unknown[], unknown[]][]) {
  test(`a rule tests values and puts itself into words: ${wanted}`, () => {
    assert.equal(wantedBy(rule), wanted)
    assert.deepEqual(
      [...allowed, ...refused].map((value) => isAllowed(rule, value)),
      [...allowed.map(() => true), ...refused.map(() => false)],
    )
  })
}
