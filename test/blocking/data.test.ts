/** What crosses to the thread that runs blocking calls as data: its request is the one of the async side. */
import assert from 'node:assert/strict'
import type { GenerateOptions, Prompt } from 'convoke'
import { test } from 'vitest'
import { blockingLLM, rejected, thrown, vendors } from '../support/blocking-kit.ts'
import type { Vendor } from '../support/blocking-kit.ts'
import { simulatorThread } from '../support/simulator-thread.ts'

const simulator = await simulatorThread()

/** The body of a blocking call, and that it is the one of the same call when it is awaited. */
async function bodyOf(prompt: Prompt, options: GenerateOptions = {}, vendor: Vendor = 'openai') {
  const llm = blockingLLM(simulator, vendor)
  llm.generate(prompt, options)
  await llm.agenerate(prompt, options)
  const [blocking, awaited] = (await simulator.requests()).slice(-2)
  assert.equal(JSON.stringify(blocking?.body), JSON.stringify(awaited?.body), vendor)
  return JSON.stringify(blocking?.body)
}

/** A conversation in which a tool gave this. */
function toolGave(result: unknown, input: unknown = {}): Prompt {
  return [
    { role: 'user', content: 'Look it up.' },
    { role: 'assistant', content: '', toolCalls: [{ id: 'call_1', name: 'look', arguments: input }] },
    { role: 'tool', toolCallId: 'call_1', content: result },
  ]
}

class Version {
  toJSON(key: string) {
    return `v7 at ${key}`
  }
}
class Self {
  city = 'Oslo'
  toJSON() {
    return this
  }
}
const failure = Object.assign(new Error('lost'), { code: 'ENOENT' })

const results: Record<string, () => unknown> = {
  'a Buffer': () => Buffer.from('hi'),
  'a Buffer inside': () => ({ file: Buffer.from('hi'), bytes: new Uint8Array([1, 2]) }),
  'boxed values': () => [Object('x'), Object(7), Object(true)],
  'a boxed text': () => Object('x') as unknown,
  'an error': () => failure,
  'an error inside': () => ({ failure }),
  'a URL': () => new URL('http://a.test/b'),
  'a URL inside': () => [new URL('http://a.test/b')],
  'a date': () => new Date(0),
  'a date that is none': () => ({ on: new Date(NaN) }),
  'what has a text for its JSON': () => new Version(),
  'what has a text for its JSON inside': () => ({ version: new Version(), list: [new Version()] }),
  'what is its own JSON': () => new Self(),
  'what is its own JSON inside': () => ({ self: new Self() }),
  'what is nothing in JSON': () => ({ city: 'Oslo', secret: { toJSON: () => undefined } }),
  'a function beside data': () => ({ city: 'Oslo', show: () => 1, [Symbol('x')]: 1, list: [() => 1] }),
  'what has no JSON': () => ({ map: new Map([[1, 2]]), not: NaN, nothing: undefined }),
}
for (const [name, make] of Object.entries(results)) {
  test(`a tool's result crosses as the async side sends it: ${name}`, async () => {
    for (const vendor of vendors) await bodyOf(toolGave(make(), { given: make() }), {}, vendor)
  })
}

test('what Gemini takes for a result is an object on both sides', async () => {
  for (const [result, sent] of [
    [Object('x') as unknown, '{"result":"x"}'],
    [new Date(0), '{"result":"1970-01-01T00:00:00.000Z"}'],
    [new Self(), '{"city":"Oslo"}'],
  ]) {
    assert.ok((await bodyOf(toolGave(result), {}, 'gemini')).includes(`"response":${sent as string}`))
  }
})

test('options of the vendor, the metadata and the messages so far cross as the async side sends them', async () => {
  const vendor = { user: new Version(), blob: Buffer.from('hi'), failure, boxed: Object('x') as unknown }
  const body = await bodyOf('Hi', { vendor, messages: toolGave({ file: Buffer.from('hi') }) as [] })
  assert.match(body, /"user":"v7 at user","blob":\{"type":"Buffer","data":\[104,105\]\}/)
  assert.match(body, /"failure":\{"code":"ENOENT"\},"boxed":"x"/)
})

test('bytes of an image or a file are bytes, wherever their message stands', async () => {
  const part = {
    type: 'file' as const,
    file: Buffer.from('%PDF'),
    mediaType: 'application/pdf',
    name: 'a.pdf',
  }
  const message = { role: 'user' as const, content: [part] }
  for (const [prompt, messages] of [
    [message, []],
    ['And?', [message]],
  ] as const) {
    const body = await bodyOf(prompt, { messages })
    assert.ok(body.includes(part.file.toString('base64')))
  }
})

test('a function beside the description of a tool concerns neither side', async () => {
  const tools = [{ name: 'look', parameters: { type: 'object', properties: {} }, execute: () => 1 }]
  await bodyOf('Hi', { tools })
  const llm = blockingLLM(simulator, 'openai', { tools })
  assert.ok(llm.generate('Hi').content)
})

test('an LLM in data is its fields, and shows no key', async () => {
  const llm = blockingLLM(simulator, 'openai')
  assert.match(
    await bodyOf('Hi', { vendor: { user: llm } }),
    /"user":\{"provider":"openai","model":"[^"]*"\}/,
  )
})

test('data that JSON cannot hold is the error that it is on the async side', async () => {
  let deep: unknown = 1
  for (let level = 0; level < 20_000; level++) deep = { deep }
  const round: Record<string, unknown> = {}
  round['self'] = { round }
  const broken = {
    toJSON() {
      throw new TypeError('no')
    },
  }
  const llm = blockingLLM(simulator, 'openai')
  for (const bad of [deep, round, broken, { big: 1n }]) {
    const expected = await rejected(llm.agenerate(toolGave(bad)))
    assert.deepEqual(
      [thrown(() => llm.generate(toolGave(bad))).code, expected.code],
      ['invalid_request', 'invalid_request'],
    )
  }
  assert.equal(thrown(() => llm.generate('Hi', { vendor: { deep } })).code, 'invalid_request')
})
