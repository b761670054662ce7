/** The simulator as Ollama's own client sees it: replies, pulling, deleting and loading of models. */
import assert from 'node:assert/strict'
import { Ollama } from 'ollama'
import { afterAll, beforeAll, test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'
import { CALLS, messages, model, REASONED, USED } from '../support/simulator-scripts.ts'

let simulator: Simulator
let ollama: Ollama

beforeAll(async () => {
  simulator = await startSimulator({ chunkSize: 5 })
  ollama = new Ollama({ host: simulator.baseURL('ollama') })
})

afterAll(() => simulator.close())

test('Ollama gives the same thinking and tool calls with and without streaming', async () => {
  simulator.setReply({ ...REASONED, ...CALLS })
  const calls = [
    {
      id: 'call-1',
      function: { name: 'weather', arguments: { city: 'Zürich', days: [1, 2] } },
    },
    { id: 'call-2', function: { name: 'time', arguments: {} } },
  ]
  const { message } = await ollama.chat({ model, messages })
  assert.deepEqual([message.thinking, message.content], ['Two and two…', 'I will look.'])
  assert.deepEqual(message.tool_calls, calls)
  const parts = await all(await ollama.chat({ model, messages, stream: true }))
  assert.equal(parts.map((part) => part.message.thinking ?? '').join(''), 'Two and two…')
  assert.deepEqual(
    parts.flatMap((part) => part.message.tool_calls ?? []),
    calls,
  )
})

test('Ollama generates from a prompt', async () => {
  simulator.setReply(USED)
  const whole = await ollama.generate({ model, prompt: 'Hi', system: 'Be brief.' })
  assert.deepEqual([whole.response, whole.thinking], ['Four.', 'Hm.'])
  assert.deepEqual([whole.prompt_eval_count, whole.eval_count], [100, 50])
  assert.equal(simulator.requests.at(-1)?.system, 'Be brief.')
})

test('Ollama streams lines of JSON by default', async () => {
  simulator.setReply('Four and four')
  for (const [path, asked] of [
    ['/api/chat', { messages }],
    ['/api/generate', { prompt: 'Hi' }],
    ['/api/pull', {}],
  ] as const) {
    const post = (body: object) => fetch(simulator.url + path, { method: 'POST', body: JSON.stringify(body) })
    const streamed = await post({ model, ...asked })
    assert.equal(streamed.headers.get('content-type'), 'application/x-ndjson')
    const lines = (await streamed.text()).trim().split('\n')
    assert.ok(lines.length > 1 && lines.every((line) => JSON.parse(line) !== null))
    const whole = await post({ model, ...asked, stream: false })
    assert.match(whole.headers.get('content-type') ?? '', /^application\/json/)
    assert.equal(typeof (await whole.json()), 'object')
  }
})

test('Ollama loads and unloads a model with a request without a prompt', async () => {
  const loaded = await ollama.chat({ model, messages: [] })
  assert.deepEqual([loaded.done_reason, loaded.message.content], ['load', ''])
  const unloaded = await ollama.chat({ model, messages: [], keep_alive: 0 })
  assert.equal(unloaded.done_reason, 'unload')
})

test('Ollama pulls, lists, shows and deletes models', async () => {
  await using own = await startSimulator({ models: ['first'], strictModels: true })
  const client = new Ollama({ host: own.baseURL('ollama') })
  const names = async () => (await client.list()).models.map(({ name }) => name)
  assert.deepEqual(await names(), ['first:latest'])
  await assert.rejects(client.chat({ model: 'second', messages }), /model 'second' not found/)
  await assert.rejects(client.show({ model: 'second' }), { status_code: 404 })
  const progress = await all(await client.pull({ model: 'second', stream: true }))
  assert.equal(progress[0]?.status, 'pulling manifest')
  assert.equal(progress.at(-1)?.status, 'success')
  const layers = progress.filter((step) => step.total > 0)
  assert.ok(layers.at(-1)?.completed === layers.at(-1)?.total && layers[0]?.completed === 0)
  assert.deepEqual(await names(), ['first:latest', 'second:latest'])
  assert.deepEqual((await client.ps()).models.length, 2)
  assert.ok((await client.show({ model: 'second' })).capabilities.includes('completion'))
  assert.match((await client.chat({ model: 'second', messages })).message.content, /You said: Hi/)
  await client.delete({ model: 'second' })
  assert.deepEqual(await names(), ['first:latest'])
  await assert.rejects(client.delete({ model: 'second' }), {
    status_code: 404,
    error: "model 'second' not found",
  })
  assert.deepEqual(await client.pull({ model: 'third', stream: false }), { status: 'success' })
  assert.match((await client.version()).version, /^\d+\.\d+/)
})

test('a pull that fails half-way leaves the model unlisted', async () => {
  await using own = await startSimulator({ models: ['first'] })
  const client = new Ollama({ host: own.baseURL('ollama') })
  own.failNext({ errorAfter: 0.5 })
  await assert.rejects(async () => all(await client.pull({ model: 'second', stream: true })), /manifest/)
  assert.equal((await client.list()).models.length, 1)
})

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of stream) items.push(item)
  return items
}
