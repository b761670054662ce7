/** Streamed tool calls, put together from deltas as real servers number them. */
import assert from 'node:assert/strict'
import { test } from 'vitest'
import { isConvokeError } from '../../src/errors.ts'
import type { ProviderChunk } from '../../src/provider.ts'
import { isCustomCall } from '../../src/providers/openai/is-custom-call.ts'
import { ToolCalls } from '../../src/providers/shared/tool-calls.ts'
import type { ToolCallDelta } from '../../src/providers/shared/tool-calls.ts'
import type { ToolCall } from '../../src/types.ts'

/** The chunks of a stream of deltas, ended as a stream ends. */
function chunksOf(deltas: ToolCallDelta[], kind?: 'json' | 'text'): ProviderChunk[] {
  const calls = new ToolCalls('openai')
  return [...deltas.flatMap((delta) => calls.delta(delta, kind)), ...calls.complete(undefined, 'stop')]
}

/** The whole calls of a stream of deltas; each must have begun before it went on, and its deltas must add up to it. */
function callsOf(deltas: ToolCallDelta[]): ToolCall[] {
  const texts = new Map<string, string>()
  const whole: ToolCall[] = []
  for (const chunk of chunksOf(deltas)) {
    if (chunk.type === 'tool-call-start') {
      assert.ok(!texts.has(chunk.id), `${chunk.id} began twice`)
      texts.set(chunk.id, '')
    } else if (chunk.type === 'tool-call-delta') {
      const before = texts.get(chunk.id)
      assert.notEqual(before, undefined, `${chunk.id} went on before it began`)
      texts.set(chunk.id, before + chunk.argumentsDelta)
    } else if (chunk.type === 'tool-call') {
      const text = texts.get(chunk.toolCall.id)
      assert.deepEqual(JSON.parse(text?.trim() || '{}'), chunk.toolCall.arguments)
      whole.push(chunk.toolCall)
    }
  }
  assert.equal(whole.length, texts.size)
  return whole
}

const bare = ({ name, arguments: input }: ToolCall) => [name, input]

const paris = { id: 'a', name: 'weather', arguments: { city: 'Paris' } }
const time = { id: 'b', name: 'time', arguments: { zone: 'CET' } }

test('a call is delivered as it comes: its start, its pieces, and the whole', () => {
  const chunks = chunksOf([
    { id: 'a', index: 0, name: 'weather', arguments: '' },
    { index: 0, arguments: '{"city":' },
    { index: 0, arguments: '"Paris"}' },
  ])
  assert.deepEqual(chunks, [
    { type: 'tool-call-start', content: '', id: 'a', name: 'weather' },
    { type: 'tool-call-delta', content: '', id: 'a', argumentsDelta: '{"city":' },
    { type: 'tool-call-delta', content: '', id: 'a', argumentsDelta: '"Paris"}' },
    { type: 'tool-call', content: '', toolCall: paris },
  ])
})

test('without indexes, a piece without an id goes on with the call that is open', () => {
  const calls = callsOf([
    { id: 'a', name: 'weather', arguments: '{"city":' },
    { arguments: '"Paris"}' },
    { id: 'b', name: 'time', arguments: '{"zone":' },
    { arguments: '"CET"}' },
  ])
  assert.deepEqual(calls, [paris, time])
})

test('indexes may start at 1', () => {
  const calls = callsOf([
    { id: 'a', index: 1, name: 'weather', arguments: '{"city":' },
    { index: 1, arguments: '"Paris"}' },
    { id: 'b', index: 2, name: 'time', arguments: '{"zone":"CET"}' },
  ])
  assert.deepEqual(calls, [paris, time])
})

test('calls whose pieces alternate are told apart by index', () => {
  const calls = callsOf([
    { id: 'a', index: 0, name: 'weather' },
    { id: 'b', index: 1, name: 'time' },
    { index: 0, arguments: '{"city":' },
    { index: 1, arguments: '{"zone":' },
    { index: 0, arguments: '"Paris"}' },
    { index: 1, arguments: '"CET"}' },
  ])
  assert.deepEqual(calls, [paris, time])
})

test('calls whose pieces alternate are told apart by id where there is no index', () => {
  const calls = callsOf([
    { id: 'a', name: 'weather', arguments: '{"city":' },
    { id: 'b', name: 'time', arguments: '{"zone":' },
    { id: 'a', arguments: '"Paris"}' },
    { id: 'b', arguments: '"CET"}' },
  ])
  assert.deepEqual(calls, [paris, time])
})

test('an id that stands in every piece makes one call', () => {
  const calls = callsOf([
    { id: 'a', index: 0, name: 'weather', arguments: '{"city":' },
    { id: 'a', index: 0, arguments: '"Par' },
    { id: 'a', index: 0, arguments: 'is"}' },
  ])
  assert.deepEqual(calls, [paris])
})

test('an id that comes after the first piece is the id of the call when nothing of it was delivered', () => {
  const calls = callsOf([
    { index: 0, arguments: '{"city":' },
    { id: 'a', index: 0, name: 'weather', arguments: '"Paris"}' },
  ])
  assert.deepEqual(calls, [paris])
})

test('an id that comes after the start makes no second call', () => {
  const calls = callsOf([
    { index: 0, name: 'weather', arguments: '{"city":' },
    { id: 'late', index: 0, arguments: '"Paris"}' },
  ])
  assert.deepEqual(calls.map(bare), [['weather', { city: 'Paris' }]])
})

test('another id in every piece of one index, without a name, makes one call', () => {
  const calls = callsOf([
    { id: 'a', index: 0, name: 'weather', arguments: '{"city":' },
    { id: 'x', index: 0, arguments: '"Par' },
    { id: 'y', index: 0, arguments: 'is"}' },
  ])
  assert.deepEqual(calls, [paris])
})

test('calls that all have the index 0 are told apart by id', () => {
  const calls = callsOf([
    { id: 'a', index: 0, name: 'weather', arguments: '{"city":' },
    { index: 0, arguments: '"Paris"}' },
    { id: 'b', index: 0, name: 'time', arguments: '{"zone":' },
    { index: 0, arguments: '"CET"}' },
  ])
  assert.deepEqual(calls, [paris, time])
})

test('calls that all have the index 0 and no id are told apart by name, once the arguments before are whole', () => {
  const calls = callsOf([
    { index: 0, name: 'weather', arguments: '{"city":"Paris"}' },
    { index: 0, name: 'weather', arguments: '{"city":"Rome"}' },
    { index: 0, name: 'time', arguments: '{"zone":"CET"}' },
  ])
  assert.deepEqual(calls.map(bare), [
    ['weather', { city: 'Paris' }],
    ['weather', { city: 'Rome' }],
    ['time', { zone: 'CET' }],
  ])
})

test('calls that all have the same id are told apart by index', () => {
  const whole = chunksOf([
    { id: '0', index: 0, name: 'weather', arguments: '{"city":"Paris"}' },
    { id: '0', index: 1, name: 'time', arguments: '{"zone":"CET"}' },
  ]).flatMap((chunk) => (chunk.type === 'tool-call' ? [bare(chunk.toolCall)] : []))
  assert.deepEqual(whole, [
    ['weather', { city: 'Paris' }],
    ['time', { zone: 'CET' }],
  ])
})

for (const place of [{ id: 'a', index: 0 }, { index: 0 }, { id: 'a' }, {}]) {
  const fields = Object.keys(place).join(' and ') || 'nothing'
  test(`a name that stands in every piece, beside ${fields}, makes one call`, () => {
    const pieces = ['{"city":', '"Par', 'is"}', '\n']
    const calls = callsOf(pieces.map((piece) => ({ ...place, name: 'weather', arguments: piece })))
    assert.deepEqual(calls.map(bare), [['weather', { city: 'Paris' }]])
  })
}

test('whole calls without id and index, one after the other, are calls of their own', () => {
  const calls = callsOf([
    { name: 'weather', arguments: { city: 'Paris' } },
    { name: 'weather', arguments: { city: 'Rome' } },
    { name: 'now', arguments: {} },
    { name: 'now', arguments: {} },
  ])
  assert.deepEqual(calls.map(bare), [
    ['weather', { city: 'Paris' }],
    ['weather', { city: 'Rome' }],
    ['now', {}],
    ['now', {}],
  ])
  assert.equal(new Set(calls.map((call) => call.id)).size, 4)
})

test('arguments may be an object, already parsed', () => {
  assert.deepEqual(callsOf([{ ...paris, index: 0 }]), [paris])
})

test('a call without arguments has an empty object', () => {
  for (const input of [undefined, null, '', ' ']) {
    assert.deepEqual(callsOf([{ id: 'a', index: 0, name: 'now', arguments: input }]), [
      { id: 'a', name: 'now', arguments: {} },
    ])
  }
})

test('null for an id, an index or a name is none', () => {
  const calls = callsOf([
    { id: 'a', index: null, name: 'weather', arguments: '{"city":' },
    { id: null, index: null, name: null, arguments: '"Paris"}' },
  ])
  assert.deepEqual(calls, [paris])
})

test('a call whose name comes late begins then, with all its pieces', () => {
  const chunks = chunksOf([
    { id: 'a', index: 0, arguments: '{"city":' },
    { index: 0, name: 'weather' },
    { index: 0, arguments: '"Paris"}' },
  ])
  assert.deepEqual(chunks.slice(0, 2), [
    { type: 'tool-call-start', content: '', id: 'a', name: 'weather' },
    { type: 'tool-call-delta', content: '', id: 'a', argumentsDelta: '{"city":' },
  ])
  assert.deepEqual(chunks.at(-1), { type: 'tool-call', content: '', toolCall: paris })
})

test('arguments that are cut off throw malformed_response, with the reason and the remedy', () => {
  const calls = new ToolCalls('openai')
  calls.delta({ id: 'a', index: 0, name: 'weather', arguments: '{"city":"Pa' })
  assert.throws(
    () => calls.complete(undefined, 'length'),
    (error) => {
      assert.ok(isConvokeError(error))
      assert.equal(error.code, 'malformed_response')
      assert.equal(error.provider, 'openai')
      assert.match(error.message, /weather.*\{"city":"Pa.*'length'.*maxTokens/)
      return true
    },
  )
})

test('the text of a custom tool stays as it is, JSON or not', () => {
  for (const text of ['SELECT 1', '{"not":"parsed"}', '{', '']) {
    const chunks = chunksOf([{ id: 'a', index: 0, name: 'sql', arguments: text }], 'text')
    const toolCall = { id: 'a', name: 'sql', arguments: text }
    assert.deepEqual(chunks.at(-1), { type: 'tool-call', content: '', toolCall })
  }
})

test("a signature stays with its call, and the vendor's whole text replaces the pieces", () => {
  const calls = new ToolCalls('gemini')
  calls.delta({ id: 'a', name: 'weather', arguments: '{"city":"Par' })
  calls.delta({ id: 'a', signature: 'proof' })
  calls.settle('a', '{"city":"Paris"}')
  const toolCall = { ...paris, signature: 'proof' }
  assert.deepEqual(calls.complete({ id: 'a' }), [{ type: 'tool-call', content: '', toolCall }])
})

test('a call that was ended is not delivered again, and takes no further piece', () => {
  const calls = new ToolCalls('openai')
  calls.delta({ id: 'a', name: 'weather', arguments: '{"city":"Paris"}' })
  assert.equal(calls.complete({ id: 'a' }).length, 1)
  calls.delta({ name: 'time', arguments: '{"zone":"CET"}' })
  const rest = calls.complete()
  assert.deepEqual(
    rest.map((chunk) => chunk.type === 'tool-call' && bare(chunk.toolCall)),
    [['time', { zone: 'CET' }]],
  )
  assert.equal(calls.size, 2)
})

test('only a call with free text, of a tool that is not among the tools, is one of a custom tool', () => {
  const sql = { id: 'a', name: 'sql', arguments: 'SELECT 1' }
  assert.equal(isCustomCall(sql, undefined), true)
  assert.equal(isCustomCall(sql, [{ name: 'sql' }]), false)
  assert.equal(isCustomCall({ ...sql, arguments: '42' }, undefined), true)
  assert.equal(isCustomCall({ ...sql, arguments: '{"a":1}' }, undefined), false)
  assert.equal(isCustomCall(paris, undefined), false)
})
