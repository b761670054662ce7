/** Validated output: every vendor is asked for the schema in its own way, and what comes back is judged by it. */
import assert from 'node:assert/strict'
import { createLLM, isConvokeError } from 'convoke'
import type { LLMOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, beforeEach, test } from 'vitest'
import * as z from 'zod'

const weather = z.object({ city: z.string(), degrees: z.number().transform((value) => `${value} °C`) })
const asked = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'number' } },
  required: ['city', 'degrees'],
}

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator()
})
afterAll(() => simulator.close())
beforeEach(() => simulator.reset())

function connect(name: string, options: LLMOptions = {}) {
  return createLLM(name, {
    model: 'm',
    apiKey: 'sk-0123456789',
    baseURL: simulator.baseURL(name),
    retry: { attempts: 1 },
    ...options,
  })
}

/** Where each vendor's request has the schema. */
const places: [name: string, options: LLMOptions, path: string][] = [
  ['openai', {}, 'response_format.json_schema.schema'],
  ['openai', { api: 'responses' }, 'text.format.schema'],
  ['anthropic', {}, 'output_config.format.schema'],
  ['gemini', {}, 'generationConfig.responseJsonSchema'],
  ['cohere', {}, 'response_format.json_schema'],
  ['ollama', {}, 'format'],
]

for (const [name, options, path] of places) {
  test(`${name}${options.api ? ` (${options.api})` : ''} is asked for the schema, and gives the validated value`, async () => {
    simulator.setReply('{"city":"Oslo","degrees":4}')
    const llm = connect(name, options)
    const reply = await llm.agenerate('Weather?', { schema: weather })
    const degrees: string | undefined = reply.output?.degrees
    assert.deepEqual([reply.output, degrees], [{ city: 'Oslo', degrees: '4 °C' }, '4 °C'])
    const body = simulator.requests.at(-1)?.body as Record<string, unknown>
    const sent = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], body)
    assert.partialDeepStrictEqual(sent, asked)
    const streamed = await llm.stream('Weather?', { schema: weather }).response
    assert.deepEqual(streamed.output, { city: 'Oslo', degrees: '4 °C' })
  })
}

test('a reply in a fence of Markdown is read', async () => {
  simulator.setReply('```json\n{"city":"Oslo","degrees":4}\n```')
  assert.equal((await connect('openai').agenerate('Weather?', { schema: weather })).output?.city, 'Oslo')
})

for (const [name, text, words] of [
  ['that does not fit', '{"city":5}', /city: .*; degrees: /],
  ['that is no JSON', 'It is cold.', /not JSON: It is cold\./],
] as const) {
  test(`a reply ${name} is invalid_output, with what came; a stream ends by the error alone`, async () => {
    simulator.setReply(text)
    const stream = connect('openai').stream('Weather?', { schema: weather })
    const types: string[] = []
    const reading = (async () => {
      for await (const { type } of stream) types.push(type)
    })()
    for (const call of [reading, connect('openai').agenerate('Weather?', { schema: weather })]) {
      const error: unknown = await call.then(
        () => assert.fail('no error'),
        (reason: unknown) => reason,
      )
      assert.ok(isConvokeError(error))
      assert.equal(error.code, 'invalid_output')
      assert.match(error.message, words)
      assert.equal(error.partial?.content, text)
    }
    assert.ok(!types.includes('finish'))
  })
}

test('a refusal and a cut are named as what they are', async () => {
  simulator.setReply({ refusal: 'I cannot help with that.' })
  await assert.rejects(connect('openai').agenerate('Weather?', { schema: weather }), {
    code: 'content_filtered',
    message: /I cannot help with that/,
  })
  simulator.setReply({ text: '{"city":"Os', finishReason: 'length' })
  await assert.rejects(connect('openai').agenerate('Weather?', { schema: weather }), {
    code: 'invalid_output',
    message: /raise maxTokens/,
  })
})

test('a schema that throws is the schema’s fault, by name', async () => {
  simulator.setReply('{"city":"Oslo","degrees":4}')
  await assert.rejects(connect('openai').agenerate('Hi', { schema: z.object({ at: z.date() }) }), {
    code: 'invalid_request',
  })
  const broken = weather.transform(() => {
    throw new Error('boom')
  })
  await assert.rejects(connect('openai').agenerate('Hi', { schema: broken }), { code: 'invalid_output' })
})

test('a stream that is cancelled while its schema takes its time has no finish beside its error', async () => {
  simulator.setReply('{"city":"Oslo","degrees":4}')
  let end = (_isFit: boolean) => {}
  const schema = weather.refine(() => new Promise<boolean>((resolve) => (end = resolve)))
  const stream = connect('openai').stream('Weather?', { schema })
  while (!stream.partial.content.endsWith('}')) await new Promise((resolve) => setTimeout(resolve, 5))
  stream.cancel()
  await assert.rejects(stream.response, { code: 'cancelled' })
  end(true)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const types: string[] = []
  await assert.rejects(
    async () => {
      for await (const { type } of stream) types.push(type)
    },
    { code: 'cancelled' },
  )
  assert.ok(types.length > 0 && !types.includes('finish'), types.join())
})

test('a reply that calls tools has no output yet', async () => {
  simulator.setReply({ toolCalls: [{ name: 'look', arguments: {} }] })
  const reply = await connect('openai').agenerate('Weather?', { schema: weather, tools: [{ name: 'look' }] })
  assert.deepEqual([reply.output, reply.toolCalls.length], [undefined, 1])
})

test('a schema that is none, or that has no JSON Schema, is refused with the remedy', async () => {
  await assert.rejects(connect('openai').agenerate('Hi', { schema: { type: 'object' } as never }), {
    code: 'invalid_request',
    message: /it takes a schema that implements Standard Schema/,
  })
  const bare = {
    '~standard': { version: 1 as const, vendor: 'mine', validate: (value: unknown) => ({ value }) },
  }
  await assert.rejects(
    connect('openai').agenerate('Hi', { schema: bare }),
    /The schema of mine has no JSON Schema/,
  )
})
