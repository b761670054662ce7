import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import { test } from 'vitest'
import { NdjsonDecoder, SseDecoder } from '../../src/transport/wire-decoder.ts'
import type { WireDecoder } from '../../src/transport/wire-decoder.ts'

const limit = 1_000

/** All events of a text, its bytes cut into pieces of `size`. */
function decode(decoder: WireDecoder, text: string, size: number) {
  const bytes = Buffer.from(text)
  const events = []
  for (let at = 0; at < bytes.length; at += size) events.push(...decoder.push(bytes.subarray(at, at + size)))
  return [...events, ...decoder.end()]
}

const sizes = [1, 2, 3, 5, 7, 64, 10_000]

test('server-sent events come out the same however the bytes are cut', () => {
  const text =
    '\ufeff: a comment\nevent: first\ndata: {"a":"😀 é"}\n\ndata:no space\r\ndata: two lines\r\n\r\ndata: \u2028 \0\r\rid: 7\nretry: 5\n\n'
  for (const size of sizes) {
    assert.deepEqual(decode(new SseDecoder(limit), text, size), [
      { name: 'first', data: '{"a":"😀 é"}' },
      { name: undefined, data: 'no space\ntwo lines' },
      { name: undefined, data: '\u2028 \0' },
    ])
  }
})

test('bytes that are no UTF-8 become what a TextDecoder makes of them, however they are cut', () => {
  const bytes = Buffer.from('x\xff\xc3\n\xe2\x82\nok \xf0\x9f\x98\n\x80\ufeff\xef\xbb\xbf\n', 'latin1')
  const whole = new TextDecoder().decode(bytes)
  const lines = whole.split('\n').filter((line) => line.trim() !== '')
  for (const size of sizes) {
    const decoder = new NdjsonDecoder(limit)
    const events = []
    for (let at = 0; at < bytes.length; at += size)
      events.push(...decoder.push(bytes.subarray(at, at + size)))
    assert.deepEqual(
      events.map(({ data }) => data),
      lines.map((line) => line.trim()),
    )
  }
})

test('a byte order mark is taken off the start, and stays wherever it is text', () => {
  const text = '\ufeff日\ufeff😀\n\ufeffx\n'
  for (const size of sizes) {
    const lines = decode(new NdjsonDecoder(limit), text, size).map(({ data }) => data)
    assert.deepEqual(lines, ['日\ufeff😀', 'x'])
  }
})

test('a line that is too long is refused however the bytes are cut', () => {
  for (const size of sizes) {
    for (const decoder of [new SseDecoder(20), new NdjsonDecoder(20)]) {
      assert.throws(() => decode(decoder, `data: ${'x'.repeat(20)}\n\n`, size), {
        code: 'malformed_response',
        message: /A line of the stream is longer than maxLineBytes 20/,
      })
    }
  }
})

test('an event of endless lines is refused, too', () => {
  for (const size of sizes) {
    const text = 'data: 1234\n'.repeat(limit)
    assert.throws(() => decode(new SseDecoder(limit), text, size), {
      code: 'malformed_response',
      message: /An event of the stream is longer than maxLineBytes/,
    })
  }
  const whole = decode(new SseDecoder(limit), 'data: 1234\n'.repeat(199) + '\n', 7)
  assert.equal(whole[0]?.data.length, 199 * 5 - 1)
})

test('data that the end of the connection cuts off is a tail', () => {
  for (const size of sizes) {
    assert.deepEqual(decode(new SseDecoder(limit), 'data: 1\n\ndata: {"ha', size), [
      { name: undefined, data: '1' },
      { name: undefined, data: '{"ha', isTail: true },
    ])
  }
})

test('a connection that ends inside the name of a field, or inside a bare error, leaves a tail', () => {
  const name = decode(new SseDecoder(limit), 'data: 1\n\ndat', 3)
  assert.deepEqual(name[1], { name: undefined, data: '', isTail: true })
  const error = decode(new SseDecoder(limit), 'data: 1\n\n{\n  "error": {\n "co', 3)
  assert.equal(error[1]?.isTail, true)
  const page = decode(new SseDecoder(limit), '<html>\n<body>Bad Gateway', 3)
  assert.deepEqual(page, [{ name: 'stray', data: '<html>\n<body>Bad Gateway\n' }])
})

test('lines that are no field are kept, since some vendors put a bare error there', () => {
  for (const size of sizes) {
    const events = decode(new SseDecoder(limit), 'data: 1\n\n{\n  "error": {\n "code": 499 }\n}\n', size)
    assert.equal(events[1]?.name, 'stray')
    assert.deepEqual(JSON.parse(events[1]?.data ?? ''), { error: { code: 499 } })
  }
})

test('newline-delimited JSON comes out line by line, empty lines and comments aside', () => {
  for (const size of sizes) {
    assert.deepEqual(decode(new NdjsonDecoder(limit), '{"a":1}\r\n\n: ping\n{"b":"\u2028\r"}\n{"c"', size), [
      { name: undefined, data: '{"a":1}' },
      { name: undefined, data: '{"b":"\u2028\r"}' },
      { name: undefined, data: '{"c"', isTail: true },
    ])
  }
})

test('a line without an end is refused once it is longer than the limit', () => {
  for (const decoder of [new SseDecoder(limit), new NdjsonDecoder(limit)]) {
    assert.throws(
      () => {
        for (let at = 0; at < 20; at++) decoder.push(Buffer.from('x'.repeat(100)))
      },
      (error) =>
        isConvokeError(error) &&
        error.code === 'malformed_response' &&
        /maxLineBytes 1000/.test(error.message),
    )
  }
})
