/** What all combinators have in common: they nest, and what they give is an LLM like any other. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { balance, cached, createSession, fallback, hedge, withDefaults } from 'convoke'
import type { GenerateOptions, LLM } from 'convoke'
import { test } from 'vitest'
import { failure, member, pair, pause, thrown } from '../support/combinators-kit.ts'
import { connect, path, simulator as strict } from '../support/session-kit.ts'

test('combinators nest, and the reply tells of all that was spent on the way', async (t) => {
  const down = { fault: { status: 500 } }
  const a = await member(t, 'openai', down)
  const b = await member(t, 'anthropic', { latencyMs: 5_000 })
  const c = await member(t, 'gemini', down)
  const d = await member(t, 'cohere', down)
  const e = await member(t, 'ollama')
  const inner = fallback([
    hedge([a.llm, withDefaults(c.llm, { seed: 1 })], { afterMs: 5_000 }),
    balance([d.llm]),
  ])
  const llm = cached(hedge([fallback([inner, b.llm]), e.llm], { afterMs: 400 }), new Map())
  // The vendors' SDKs take their time to load.
  await Promise.allSettled([a, c, d].map((one) => one.llm.agenerate('Hi')))
  for (const ask of [() => llm.agenerate('Hi'), () => llm.stream('Hello').response]) {
    const reply = await ask()
    assert.deepEqual([reply.content, reply.provider], ['from ollama', 'ollama'])
    assert.deepEqual(
      reply.otherAttempts?.map(({ provider, code, attempts }) => `${provider} ${code} ${attempts}`),
      ['openai server_error 1', 'gemini server_error 1', 'cohere server_error 1', 'anthropic cancelled 1'],
    )
  }
  assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  assert.equal((await llm.agenerate('Hi')).fromCache, true)
})

test('errors of nested LLMs count every request once', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } }, { fault: { status: 503 } })
  const c = await member(t, 'gemini', { fault: { status: 401 } })
  const error = await failure(fallback([fallback([a.llm, b.llm]), c.llm]).agenerate('Hi'))
  assert.deepEqual([error.code, error.provider, error.attempts], ['authentication', 'gemini', 3])
  assert.deepEqual(
    error.partial?.otherAttempts?.map(({ attempts }) => attempts),
    [1, 1],
  )
})

test('what is made of LLMs is an LLM, by the names that its members share', async (t) => {
  const { a, b } = await pair(t)
  const mixed = fallback([a.llm, b.llm])
  assert.equal(mixed.constructor, a.llm.constructor)
  assert.deepEqual([mixed.provider, mixed.model], ['fallback', undefined])
  const alike = balance([a.llm, withDefaults(a.llm, { temperature: 0 })])
  assert.deepEqual([alike.provider, alike.model], ['openai', 'openai-model'])
  assert.equal(withDefaults(a.llm, { model: 'other' }).model, 'other')
  assert.doesNotMatch(inspect(mixed, { depth: 9 }) + JSON.stringify(mixed), /sk-test/)
})

test('tokens are counted as for the first; models are asked of a single LLM alone', async (t) => {
  const { a, b } = await pair(t)
  const llm = fallback([a.llm, b.llm])
  const options: GenerateOptions = { model: 'gpt-4o', system: 'Be brief.' }
  assert.deepEqual(await llm.countTokens('Hi', options), await a.llm.countTokens('Hi', options))
  const preset = withDefaults(a.llm, options)
  assert.deepEqual(await preset.countTokens('Hi'), await a.llm.countTokens('Hi', options))
  assert.ok((await preset.listModels()).length > 0)
  for (const ask of [
    () => llm.listModels(),
    () => llm.showModel('x'),
    () => llm.deleteModel('x'),
    () => llm.pullModel('x').next(),
  ]) {
    const error = await failure(ask())
    assert.equal(error.code, 'invalid_request')
    assert.match(error.message, /^\[fallback\] This LLM is a fallback of 2 others.*Ask one of them\.$/)
  }
})

test('closing ends its calls and refuses more; its members stay open', async (t) => {
  const { a, b } = await pair(t, { latencyMs: 5_000 })
  const llms = {
    fallback: fallback([a.llm, b.llm]),
    balance: balance([a.llm]),
    hedge: hedge([a.llm], { afterMs: 9 }),
  }
  for (const [name, llm] of Object.entries(llms)) {
    const pending = failure(llm.agenerate('Hi'))
    await pause(30)
    await llm.close()
    await llm.close()
    assert.equal((await pending).code, 'cancelled')
    const error = await failure(llm.agenerate('Hi'))
    assert.equal(error.code, 'configuration')
    assert.match(error.message, new RegExp(`Make another with ${name}\\(\\)`))
    assert.equal(thrown(() => llm.stream('Hi')).code, 'configuration')
  }
  assert.deepEqual(a.llm.activity, { running: 0, queued: 0 })
  assert.equal((await b.llm.agenerate('Hi')).content, 'from anthropic')
})

test('a closed member is a mistake that is told', async (t) => {
  const { a, b } = await pair(t)
  await a.llm.close()
  const error = await failure(fallback([a.llm, b.llm]).agenerate('Hi'))
  assert.deepEqual([error.code, error.provider], ['configuration', 'openai'])
})

test('withDefaults gives calls what they do not say; its own defaults give way', async (t) => {
  const { llm: inner, simulator } = await member(t, 'openai', {}, { temperature: 1, seed: 7 })
  const llm = withDefaults(withDefaults(inner, { temperature: 0.5, maxTokens: 9 }), {
    maxTokens: 5,
    system: 'S',
  })
  await llm.agenerate('Hi')
  await llm.agenerate('Hi', { maxTokens: 3, system: 'T' })
  const bodies = simulator.requests.map(({ body, system }) => ({ ...(body as object), system }))
  const wanted = bodies.map((body) => {
    const { temperature, seed, system, ...rest } = body as Record<string, unknown>
    return [temperature, seed, rest['max_tokens'] ?? rest['max_completion_tokens'], system]
  })
  assert.deepEqual(wanted, [
    [0.5, 7, 5, 'S'],
    [0.5, 7, 3, 'T'],
  ])
  assert.equal(
    thrown(() => withDefaults(inner, { temprature: 1 } as GenerateOptions)).code,
    'invalid_request',
  )
})

test('a slow reader holds the vendor back through every combinator', async (t) => {
  const { a, b } = await pair(t, { reply: 'x'.repeat(40_000), chunkSize: 1 })
  const llm = cached(fallback([hedge([a.llm, b.llm], { afterMs: 5_000 }), b.llm]), new Map())
  const stream = llm.stream('Hi', { streamConfig: { bufferSize: 8 } })
  const iterator = stream[Symbol.asyncIterator]()
  await iterator.next()
  await pause(100)
  assert.ok(stream.partial.content.length < 2_000, `${stream.partial.content.length} were taken`)
  await iterator.return?.()
  assert.equal((await failure(stream.response)).code, 'cancelled')
})

test('a reader that leaves at the finish chunk cancels nothing', async (t) => {
  const { a, b } = await pair(t)
  const llm = fallback([hedge([a.llm, b.llm], { afterMs: 0 }), b.llm])
  const kept = cached(llm, new Map())
  for (const one of [llm, balance([llm]), withDefaults(llm, { seed: 1 }), kept, kept]) {
    const stream = one.stream('Hi')
    for await (const { type } of stream) if (type === 'finish') break
    const reply = await stream.response
    assert.match(reply.content, /^from (openai|anthropic)$/)
    assert.equal(stream.partial.content, reply.content)
  }
})

test('bad options of a call are told at once', async (t) => {
  const { a, b } = await pair(t)
  const llm = fallback([a.llm, b.llm])
  assert.equal(thrown(() => llm.stream('Hi', { temprature: 1 } as GenerateOptions)).code, 'invalid_request')
  assert.equal((await failure(llm.agenerate('Hi', { maxTokens: 0 }))).code, 'invalid_request')
  assert.match(thrown(() => fallback([a.llm], { on: ['typo'] } as object)).message, /fallbackCodes/)
  assert.match(thrown(() => fallback({ on: [] } as never)).message, /at least one LLM/)
  assert.match(thrown(() => fallback([a.llm, 'b' as never, b.llm])).message, /number 2 is "b"/)
})

test('a session takes a combined LLM: windows, summaries in plain text, resumed turns', async () => {
  const tools = [{ name: 'clock' }]
  const llm = fallback([withDefaults(connect('openai'), { tools }), connect('anthropic')])
  await using session = createSession(llm, { store: path(), context: { onOverflow: 'compact' } })
  for (let at = 0; at < 4; at++) await session.agenerate(`message ${at}`)
  await session.compact({ keepRecent: 1 })
  assert.deepEqual(strict.requests.at(-1)?.tools, [])
  strict.failNext({ status: 500 }, 2)
  assert.equal((await failure(session.agenerate('and then?'))).code, 'server_error')
  const reply = await session.resume()
  assert.deepEqual([reply.content, reply.persisted], ['You said and then?', true])
  assert.deepEqual(strict.requests.at(-1)?.tools, ['clock'])
  assert.match(strict.requests.at(-1)?.system ?? '', /Summary of the conversation/)
})

test("a session's history fits the smallest window of those that may answer", async () => {
  const large = connect('openai', { model: 'gpt-4o' })
  const small = connect('openai', { model: 'gpt-3.5-turbo' })
  const session = (llm: LLM) => createSession(llm, { store: path(), context: { onOverflow: 'error' } })
  const long = 'many words '.repeat(12_000)
  assert.ok((await session(large).agenerate(long)).content)
  const error = await failure(session(fallback([large, small])).agenerate(long))
  assert.equal(error.code, 'context_length_exceeded')
})

test('several LLMs are a list; one after the other, as they were once given, they still do', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 503 } })
  const options = { retry: { attempts: 1 } }
  const old = [
    fallback(a.llm, b.llm),
    fallback(a.llm, b.llm, { replay: 'restart' }),
    hedge(a.llm, b.llm, { afterMs: 5_000 }),
  ]
  for (const llm of old) assert.equal((await llm.agenerate('Hi', options)).content, 'from anthropic')
  const listed = fallback([a.llm, b.llm], { replay: 'restart' })
  assert.equal((await listed.agenerate('Hi', options)).content, 'from anthropic')
  assert.match(thrown(() => fallback([])).message, /at least one LLM/)
})
