/** When two answers are the same. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { answerEquality } from '../../src/consensus/answer-equality.ts'

const normalize = (text: string) => text.toLowerCase()

for (const [what, a, b, isSame] of [
  ['the order of fields', { x: 1, y: [{ p: 1, q: 2 }] }, { y: [{ q: 2, p: 1 }], x: 1 }, true],
  ['texts inside', { x: ['YES'] }, { x: ['yes'] }, true],
  ['names of fields', { X: 1 }, { x: 1 }, false],
  ['a field that is undefined', { x: undefined, y: 1 }, { y: 1 }, true],
  ['an entry that is undefined', [undefined], [null], false],
  ['the order of a list', [1, 2], [2, 1], false],
  ['0 and -0', 0, -0, true],
  ['not a number', NaN, NaN, true],
  ['not a number, and nothing', NaN, null, false],
  ['a bigint', 1n, 1, true],
  ['a text, and a number', '1', 1, false],
  ['dates', new Date(5), new Date(5), true],
  ['a date, and its time', new Date(5), 5, false],
] as const) {
  test(`answers are compared by value: ${what}`, () => {
    const { isSame: exactly, keyOf } = answerEquality(normalize, undefined)
    assert.equal(exactly(a, b), isSame)
    assert.equal(keyOf?.(a) === keyOf?.(b), isSame)
    // With a tolerance there are no keys. NaN is within it of no number, not even of itself.
    const near = answerEquality(normalize, 1e-9)
    assert.equal(near.keyOf, undefined)
    assert.equal(near.isSame(a, b), isSame && !Number.isNaN(a))
  })
}
