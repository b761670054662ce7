/** cached, through the vendors' own SDKs against the simulator, over Keyv and others. */
import assert from 'node:assert/strict'
import { cached, createLLM, createSession, fanOut, withDefaults } from 'convoke'
import type { CacheStore, GenerateResponse } from 'convoke'
import { CohereClientV2 } from 'cohere-ai'
import Keyv from 'keyv'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { test } from 'vitest'
import { z } from 'zod'
import { failure, member, pair, pause, read, thrown } from '../support/combinators-kit.ts'
import { connect, path, simulator as strict } from '../support/session-kit.ts'

const rich = {
  text: 'Sunny.',
  reasoning: 'It is summer.',
  signature: 'proof',
  toolCalls: [{ id: 'c1', name: 'weather', arguments: { city: 'Oslo' } }],
}
const tools = [{ name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } }]

test('the second reply to a request comes out of the store, whatever way it is asked for', async (t) => {
  for (const first of ['reply', 'stream'] as const) {
    const { llm: inner, simulator } = await member(t, 'anthropic', { reply: rich })
    const llm = cached(inner, new Keyv())
    const ask = () => llm.agenerate('Weather?', { tools })
    const reply: GenerateResponse =
      first === 'reply' ? await ask() : await llm.stream('Weather?', { tools }).response
    assert.equal(reply.fromCache, undefined)
    const again = await ask()
    const stream = llm.stream('Weather?', { tools })
    const { types, text, chunks } = await read(stream)
    const thought = chunks.find(({ type }) => type === 'reasoning')
    assert.deepEqual(thought, {
      type: 'reasoning',
      content: '',
      reasoning: 'It is summer.',
      signature: 'proof',
    })
    const streamed = await stream.response
    assert.deepEqual(types, ['start', 'reasoning', 'text', 'tool-call', 'finish'])
    assert.equal(text, 'Sunny.')
    for (const hit of [again, streamed]) {
      const { raw: _raw, timing: _timing, costUsd: _cost, ...kept } = reply
      const { raw, timing, costUsd, fromCache, ...rest } = hit
      assert.deepEqual(rest, kept)
      assert.deepEqual([raw, timing.attempts, costUsd, fromCache], [undefined, 0, 0, true])
    }
    assert.equal(simulator.requests.length, 1)
  }
})

test('what changes the reply is another request, what does not is the same', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai')
  const llm = cached(inner, new Map())
  await llm.agenerate('Hi')
  for (const options of [
    { timeouts: { totalMs: 5_000 } },
    { retry: { attempts: 2 } },
    { metadata: { a: 'b' } },
  ]) {
    assert.equal((await llm.agenerate('Hi', options)).fromCache, true)
  }
  assert.equal(
    (await llm.agenerate([{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }])).fromCache,
    true,
  )
  assert.equal((await cached(inner, new Map()).agenerate('Hi')).fromCache, undefined)
  const others = [
    { model: 'x' },
    { system: 'x' },
    { temperature: 0 },
    { maxTokens: 9 },
    { seed: 1 },
    { stop: 'x' },
  ]
  for (const options of [...others, { vendor: { user: 'x' } }, { tools }]) {
    assert.equal((await llm.agenerate('Hi', options)).fromCache, undefined, JSON.stringify(options))
    assert.equal((await llm.agenerate('Hi', options)).fromCache, true)
  }
  assert.equal(simulator.requests.length, 10)
})

test('LLMs that share a store do not get the replies of each other, but where they ask for the same', async (t) => {
  const { a, b } = await pair(t)
  const store = new Keyv()
  await cached(a.llm, store).agenerate('Hi', { model: 'm' })
  assert.equal((await cached(b.llm, store).agenerate('Hi', { model: 'm' })).content, 'from anthropic')
  const terse = withDefaults(a.llm, { model: 'm' })
  assert.equal((await cached(terse, store).agenerate('Hi')).fromCache, true)
})

test('errors, cancelled and cut replies are never kept', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', { paceMs: 5 })
  const store = new Map<string, unknown>()
  const llm = cached(inner, store)
  simulator.failNext({ status: 500 })
  await failure(llm.agenerate('Hi'))
  simulator.failNext({ cutAfter: 0.5 })
  await failure(llm.stream('Hi').response)
  for await (const { type } of llm.stream('Hi')) if (type === 'text') break
  simulator.setReply({ text: 'cut', finishReason: 'length' })
  assert.equal((await llm.agenerate('Hi')).finishReason, 'length')
  simulator.setReply({ text: '', finishReason: 'content-filter' })
  await llm.agenerate('Hi')
  assert.equal(store.size, 0)
})

test('a reply is good for ttlMs', async (t) => {
  for (const store of [new Keyv(), new Map()]) {
    const { llm: inner, simulator } = await member(t, 'openai')
    const llm = cached(inner, store, { ttlMs: 80 })
    await llm.agenerate('Hi')
    assert.equal((await llm.agenerate('Hi')).fromCache, true)
    await pause(100)
    assert.equal((await llm.agenerate('Hi')).fromCache, undefined)
    assert.equal(simulator.requests.length, 2)
  }
})

test('equal requests at the same time share one call, and each has a reply of its own', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', { latencyMs: 60 })
  const llm = cached(inner, new Keyv())
  const replies = await Promise.all(Array.from({ length: 20 }, () => llm.agenerate('Hi')))
  assert.equal(simulator.requests.length, 1)
  assert.equal(replies.filter(({ fromCache }) => fromCache).length, 19)
  replies[1]?.message.content.splice(0)
  assert.equal(replies[2]?.message.content.length, 1)
})

test('of calls that share one, the next takes the place of one that is cancelled; a failure is told to all', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', { latencyMs: 500 })
  const llm = cached(inner, new Map())
  const controller = new AbortController()
  const leader = failure(llm.agenerate('Hi', { signal: controller.signal }))
  const others = [1, 2, 3].map(() => llm.agenerate('Hi'))
  while (simulator.requests.length === 0) await pause(5)
  controller.abort()
  assert.equal((await leader).code, 'cancelled')
  assert.deepEqual(
    (await Promise.all(others)).map(({ content }) => content),
    Array(3).fill('from openai'),
  )
  assert.equal(simulator.requests.length, 2)
  simulator.failNext({ status: 500, latencyMs: 50 })
  const errors = await Promise.all([1, 2, 3].map(() => failure(llm.agenerate('Bye'))))
  assert.deepEqual(
    errors.map(({ code }) => code),
    Array(3).fill('server_error'),
  )
  assert.equal(new Set(errors).size, 3)
  assert.equal(simulator.requests.length, 3)
})

test('of those that wait for one that a fan-out gives up, one asks, and the others share its reply', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', { latencyMs: 1_000 })
  // The SDK is loaded before any clock matters.
  await inner.agenerate('Hello')
  simulator.reset()
  const llm = cached(inner, new Map())
  const given = fanOut([llm], 'Hi', { timeoutMs: 300 })
  await pause(20)
  const others = await Promise.all([1, 2, 3, 4].map(() => llm.agenerate('Hi')))
  assert.equal((await given)[0]?.error?.code, 'timeout')
  assert.equal(others.length, 4)
  assert.equal(simulator.requests.length, 2)
})

test("one's own time-out is not the others'", async (t) => {
  const { llm: inner } = await member(t, 'openai', { latencyMs: 150 })
  const llm = cached(inner, new Map())
  const hasty = failure(llm.agenerate('Hi', { timeouts: { totalMs: 50 } }))
  const patient = llm.agenerate('Hi')
  assert.equal((await hasty).code, 'timeout')
  assert.equal((await patient).content, 'from openai')
})

const broken: [string, CacheStore, RegExp][] = [
  ['throws', { get: () => assert.fail('down'), set: () => assert.fail('down') }, /read: down|kept: down/],
  [
    'rejects',
    { get: () => Promise.reject(new Error('gone')), set: () => Promise.reject(new Error('gone')) },
    /gone/,
  ],
  ['hangs', { get: () => new Promise(() => {}), set: () => new Promise(() => {}) }, /no answer for 40 ms/],
  ['refuses', { get: () => undefined, set: () => false }, /refused/],
  ['holds junk', { get: () => ({ version: 1, reply: 'x' }), set: () => true }, /^$/],
]
for (const [what, store, warning] of broken) {
  test(`a store that ${what} costs a warning, never the call`, async (t) => {
    const { llm: inner } = await member(t, 'openai')
    const llm = cached(inner, store, { storeTimeoutMs: 40 })
    const stream = llm.stream('Hi')
    const streamed = (await read(stream)) && (await stream.response)
    for (const reply of [await llm.agenerate('Hi'), streamed]) {
      assert.deepEqual([reply.content, reply.fromCache], ['from openai', undefined])
      assert.match(reply.warnings.map(({ message }) => message).join(' '), warning)
      if (what === 'hangs') assert.equal(reply.warnings.length, 2)
    }
  })
}

test('the output of a reply out of the store is judged by the schema of the call', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', { reply: '{"degrees": 4}' })
  const llm = cached(inner, new Keyv())
  const schema = z.object({ degrees: z.number() })
  await llm.agenerate('Oslo?', { schema })
  const hit = await llm.agenerate('Oslo?', { schema })
  assert.deepEqual([hit.output, hit.fromCache], [{ degrees: 4 }, true])
  // The same JSON Schema, and a judge of another mind.
  const strictSchema = schema.refine(({ degrees }) => degrees > 10)
  assert.equal((await failure(llm.agenerate('Oslo?', { schema: strictSchema }))).code, 'invalid_output')
  assert.equal(simulator.requests.length, 2)
})

test('a request with a function in it is not kept, and says so', async (t) => {
  const { llm: inner, simulator } = await member(t, 'ollama')
  const store = new Map<string, unknown>()
  const reply = await cached(inner, store)
    .agenerate('Hi', { vendor: { hook: () => {} } })
    .catch(failure)
  assert.equal(store.size, 0)
  assert.ok(simulator.requests.length <= 1)
  if ('warnings' in reply) assert.match(reply.warnings[0]?.message ?? '', /not kept: a function/)
})

test('generate() is refused: a store cannot cross to another thread', async (t) => {
  const { llm: inner } = await member(t, 'openai')
  const error = thrown(() => cached(inner, new Map()).generate('Hi'))
  assert.deepEqual([error.code, /agenerate/.test(error.message)], ['blocking_unavailable', true])
  assert.equal(thrown(() => cached(inner, {} as CacheStore)).code, 'configuration')
  assert.equal(thrown(() => cached(inner, new Map(), { ttl: 5 } as object)).code, 'configuration')
})

test('sessions that say the same share replies', async () => {
  strict.setReply('yes')
  const llm = cached(connect('openai'), new Keyv())
  for (let round = 0; round < 2; round++) {
    await using session = createSession(llm, { store: path() })
    assert.equal((await session.agenerate('Hi')).content, 'yes')
    assert.equal((await read(session.stream('Again'))).text, 'yes')
    assert.deepEqual(
      (await session.history()).map(({ status }) => status),
      Array(4).fill('complete'),
    )
  }
  assert.equal(strict.requests.length, 2)
})

test("clients of one's own are known by their address, headers and account", async (t) => {
  const [a, b] = await Promise.all(
    ['here', 'there'].map(async (reply) => (await member(t, 'openai', { reply })).simulator),
  )
  assert.ok(a && b)
  const clients = {
    ollama: (at: typeof a) => new Ollama({ host: at.baseURL('ollama') }),
    cohere: (at: typeof a) => new CohereClientV2({ token: 'x', environment: at.baseURL('cohere') }),
    openai: (at: typeof a) => new OpenAI({ apiKey: 'x', baseURL: at.baseURL('openai') }),
  }
  for (const make of Object.values(clients)) {
    const store = new Map<string, unknown>()
    const ask = async (client: object) =>
      (await cached(createLLM(client, { model: 'm' }), store).agenerate('Hi')).content
    assert.deepEqual([await ask(make(a)), await ask(make(b)), await ask(make(a))], ['here', 'there', 'here'])
    assert.equal(store.size, 2)
  }
  const store = new Map<string, unknown>()
  const openai = { apiKey: 'x', baseURL: a.baseURL('openai') }
  const given = [
    {},
    { organization: 'o' },
    { defaultHeaders: { t: '1' } },
    { defaultHeaders: new Headers({ t: '2' }) },
  ]
  for (const own of [...given, ...given]) {
    await cached(createLLM(new OpenAI({ ...openai, ...own }), { model: 'm' }), store).agenerate('Hi')
  }
  assert.equal(store.size, given.length)
})
