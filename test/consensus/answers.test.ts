/** What counts as an answer, and which answers are one: what only looks alike is not. */
import assert from 'node:assert/strict'
import { consensus, unanimous } from 'convoke'
import { test } from 'vitest'
import * as z from 'zod'
import { normalizeText } from '../../src/consensus/answer.ts'
import { panel } from '../support/panel-kit.ts'
import type { Script } from '../support/panel-kit.ts'

async function ask(answers: Record<string, Script>, options: object = {}) {
  await using members = await panel(answers)
  return await consensus(members.llms, 'What is it?', options)
}
const codes = ({ failures }: Awaited<ReturnType<typeof ask>>) =>
  failures.map(({ member, error }) => `${member} ${error.code}`).sort()

test('fields are voted on among objects: another answer has none, and is a failure', async () => {
  const schema = z.object({ v: z.union([z.string(), z.object({ a: z.number() })]) }).transform(({ v }) => v)
  const scripts = { a: '{"v":"one"}', b: '{"v":"two"}', c: '{"v":{"a":3}}' }
  const verdict = await ask(scripts, { schema, vote: 'fields' })
  assert.equal(verdict.status, 'degraded')
  assert.deepEqual(verdict.answer, { a: 3 })
  assert.deepEqual(codes(verdict), ['a invalid_output', 'b invalid_output'])
})

test('an object without fields decides nothing before the others are heard', async () => {
  const schema = z.object({ a: z.number().optional() })
  const slow = { text: '{"a":1}', latencyMs: 150 }
  const options = { schema, vote: 'fields', quorum: 1 }
  for (const strategy of [undefined, unanimous()]) {
    const verdict = await ask({ a: '{}', b: slow, c: slow }, { ...options, ...(strategy && { strategy }) })
    assert.deepEqual(verdict.answer, strategy ? undefined : { a: 1 })
    assert.equal(verdict.status, strategy ? 'split' : 'agreed')
  }
})

test('answers of punctuation alone are not all one', async () => {
  const verdict = await ask({ a: '[]', b: '()', c: '""' })
  assert.equal(verdict.status, 'split')
  assert.equal(normalizeText(' "?" '), '"?"')
  assert.notEqual(normalizeText('*'), normalizeText('?'))
  const signs = await ask({ a: '*', b: '+', c: '*' }, { choices: ['*', '+'] })
  assert.deepEqual([signs.status, signs.answer], ['agreed', '*'])
})

test('a fraction without its zero is what it is', async () => {
  const verdict = await ask({ a: '.5', b: '0.5', c: '-.5' }, { tolerance: 0 })
  assert.deepEqual(
    verdict.votes.map(({ answer }) => answer),
    [0.5, 0.5, -0.5],
  )
})

test('a choice at the beginning ends where its word or its number ends', async () => {
  const numbers = await ask(
    { a: '1.75 metres', b: '1,000', c: '1, I think' },
    { choices: ['1', '2'], quorum: 1 },
  )
  assert.deepEqual(codes(numbers), ['a invalid_output', 'b invalid_output'])
  assert.equal(numbers.answer, '1')
  const words = await ask(
    { a: 'C++ it is', b: 'C# it is', c: 'C: it is small', d: 'C-like ones' },
    { choices: ['C', 'Rust'], quorum: 1 },
  )
  assert.deepEqual(codes(words), ['a invalid_output', 'b invalid_output', 'd invalid_output'])
})
