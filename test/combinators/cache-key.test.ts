/** The keys of cached replies: a key that changes makes every existing cache useless. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { cacheKey } from '../../src/combinators/cache-key.ts'

const request = {
  provider: 'openai',
  address: 'https://api.openai.com/v1',
  headers: undefined,
  request: {
    model: 'gpt-4o-mini',
    temperature: 0.5,
    system: 'Say "hi" — briefly.',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Hi\n\ud800' },
          { type: 'image', image: new Uint8Array([1, 2, 255]) },
        ],
      },
      undefined,
    ],
    vendor: {
      b: 1n,
      a: new Date(0),
      10: 'ten',
      9: 'nine',
      url: new URL('http://x.example/a'),
      nothing: null,
      minus: -0,
      much: Infinity,
    },
    tools: [],
    more: {},
  },
}

test('the key of a request stays the same from version to version', () => {
  assert.equal(
    cacheKey(request),
    'convoke:1:d9bcfd607a2590e77f44b3ed1e28eb0aab22a5410405f8ed242549c6e660a21d',
  )
  assert.equal(
    cacheKey({ fallback: [{ z: 1, a: 'b' }, { a: NaN }] }),
    'convoke:1:c98116649b7b2497d0bac3b48950b3570a627ccd31b02028ba062083896999a8',
  )
})

test('the order of fields, and fields that are undefined, do not change the key', () => {
  assert.equal(cacheKey({ b: { d: 1, c: 2 }, a: undefined }), cacheKey({ b: { c: 2, d: 1 } }))
  assert.notEqual(cacheKey({ a: [1, 2] }), cacheKey({ a: [2, 1] }))
  assert.notEqual(cacheKey({ a: '1' }), cacheKey({ a: 1 }))
})

test('a function or a symbol has no key', () => {
  for (const value of [() => 1, Symbol('x')]) {
    assert.throws(() => cacheKey({ request: [value] }), TypeError)
  }
})
