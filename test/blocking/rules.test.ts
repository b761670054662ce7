/** Where generate() refuses to block, and what it says. */
import assert from 'node:assert/strict'
import { consensus, createLLM, createSession, fallback, fanOut, sqliteStore } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { LLM, LLMOptions } from 'convoke'
import type { Store } from 'convoke/store'
import OpenAI from 'openai'
import { test } from 'vitest'
import { z } from 'zod'
import { targetOf } from '../../src/blocking/generate.ts'
import { limitOf, limitOfMany } from '../../src/blocking/call-limit.ts'
import { serializeMembers } from '../../src/blocking/serialize-arguments.ts'
import { blockingLLM, rejected, thrown } from '../support/blocking-kit.ts'
import { answeredBy, simulatorThread } from '../support/simulator-thread.ts'

const simulator = await simulatorThread()
const llmOf = (options?: LLMOptions) => blockingLLM(simulator, 'openai', options)
const slow = answeredBy({ chunks: ['a', 'b', 'c'], paceMs: 20 })

test('calls of this thread that are in flight would stand still', async () => {
  const llm = llmOf()
  const other = llmOf()
  const waits = [llm.agenerate(slow), llm.stream(slow).response, other.listModels()]
  for (const blocked of [() => llm.generate('Hi'), () => other.generate('Hi', { stream: true })]) {
    const error = thrown(blocked)
    assert.equal(error.code, 'blocking_unavailable')
    assert.match(error.message, /3 calls of this thread.*agenerate\(\).*blocking: 'allow'/)
  }
  assert.ok(llm.generate('Hi', { blocking: 'allow' }).content)
  assert.ok(llmOf({ blocking: 'allow' }).generate('Hi').content)
  await Promise.all(waits)
  assert.ok(llm.generate('Hi').content)
})

test('an unread stream that has ended, a failed call and a cancelled one are not in flight', async () => {
  const llm = llmOf()
  const unread = llm.stream('Hi')
  await unread.response
  await llm.agenerate(answeredBy({ fault: { status: 401 } })).catch(() => {})
  const cancelled = llm.stream(slow)
  cancelled.cancel()
  await cancelled.response.catch(() => {})
  for await (const chunk of llm.stream(slow)) if (chunk.content) break
  assert.ok(llm.generate('Hi').content)
})

test('inside a callback of convoke a call is always in flight', async () => {
  const inner = llmOf()
  const codes: string[] = []
  const ask = () => codes.push(thrown(() => inner.generate('Hi')).code)
  await llmOf({ apiKey: () => (ask(), 'key') }).agenerate('Hi')
  await llmOf({ fetch: (...request) => (ask(), fetch(...request)) }).agenerate('Hi')
  const schema = z.object({ city: z.string() }).refine(() => ask() > 0)
  const prompt = answeredBy({ text: '{"city":"Oslo"}' })
  await inner.agenerate(prompt, { schema })
  inner.generate(prompt, { schema })
  assert.deepEqual(
    codes,
    Array.from({ length: 4 }, () => 'blocking_unavailable'),
  )
})

test('inside a strategy or the prompt of a member a call is in flight, and no longer', async () => {
  const inner = llmOf()
  const codes: string[] = []
  const ask = () => codes.push(thrown(() => inner.generate('Hi')).code)
  const prompt = () => (ask(), 'Hi')
  const isAgreed = () => ({ isAgreed: ask() > 0 })
  await fanOut([llmOf()], prompt)
  await fanOut([llmOf()], prompt, { stream: true }).results
  await consensus([llmOf()], prompt, { strategy: () => ({ isAgreed: true }) })
  await consensus([llmOf()], 'Hi', { strategy: isAgreed })
  const weights = () => (ask(), [1])
  await consensus([llmOf()], 'Hi', {
    strategy: { name: 'own', weights, decide: () => ({ isAgreed: true, reason: '' }) },
  })
  assert.deepEqual(
    codes,
    Array.from({ length: 5 }, () => 'blocking_unavailable'),
  )
  assert.ok(inner.generate('Hi').content)
})

test('what asks many is in flight no longer than it runs, however it ends', async () => {
  const inner = llmOf()
  const free = () => assert.ok(inner.generate('Hi').content)
  const run = consensus([llmOf(), llmOf()], slow)
  run.cancel()
  assert.equal((await rejected(run.verdict)).code, 'cancelled')
  free()
  await rejected(Promise.resolve(consensus([llmOf()], 'Hi', { signal: AbortSignal.abort() })))
  free()
  await consensus([llmOf()], 'Hi', { strategy: () => new Promise<never>(() => {}), timeoutMs: 300 })
  free()
  await rejected(Promise.resolve().then(() => consensus([llmOf()], 'Hi', { quorum: 7 })))
  await rejected(fanOut([], 'Hi'))
  assert.ok(
    (
      await fanOut([llmOf()], () => {
        throw new Error('no')
      })
    )[0]?.error,
  )
  free()
  for await (const chunk of fanOut([llmOf(), llmOf()], slow, { stream: true })) if (chunk.content) break
  free()
  const unread = fanOut([llmOf()], slow, { stream: true })
  unread.cancel()
  await unread.results
  free()
})

test('a schema that answers with a thenable of its own is told as one that answers with a promise', async () => {
  const schema = z.object({ city: z.string() })
  const validate = (value: unknown) => ({
    then: (resolve: (result: unknown) => void) => resolve({ value }),
  })
  const late = {
    '~standard': {
      ...schema['~standard'],
      validate: validate as unknown as (typeof schema)['~standard']['validate'],
    },
  }
  const prompt = answeredBy({ text: '{"city":"Oslo"}' })
  assert.deepEqual((await llmOf().agenerate(prompt, { schema: late })).output, { city: 'Oslo' })
  assert.equal(thrown(() => llmOf().generate(prompt, { schema: late })).code, 'blocking_unavailable')
})

test('an error is one of ours whatever becomes of stacks in this process', () => {
  const prompt = answeredBy({ fault: { status: 401 } })
  const { prepareStackTrace } = Error
  Error.prepareStackTrace = (_, sites) => sites
  try {
    const error = thrown(() => llmOf().generate(prompt))
    assert.equal(error.code, 'authentication')
    assert.equal(typeof error.stack, 'string')
  } finally {
    Error.prepareStackTrace = prepareStackTrace
  }
})

test('blocking is no option of a call that is awaited', async () => {
  const { code, message } = await rejected(llmOf().agenerate('Hi', { blocking: 'allow' } as object))
  assert.equal(code, 'invalid_request')
  assert.match(message, /blocking belongs to createLLM and to generate\(\), not to an awaited call/)
})

test('what cannot cross a thread is refused, with the remedy', async () => {
  registerProvider('homemade', () => ({ name: 'homemade', async *stream() {} }))
  const address = { baseURL: simulator.baseURL('openai'), model: 'gpt-4o-mini' }
  const client = new OpenAI({ apiKey: 'key', baseURL: address.baseURL })
  const before = (await simulator.requests()).length
  const cases: [RegExp, () => unknown][] = [
    [
      /made from a client.*createLLM\('openai'/,
      () => createLLM(client, { model: 'gpt-4o-mini' }).generate('Hi'),
    ],
    [
      /provider homemade was registered on this thread/,
      () => createLLM('homemade', { model: 'x' }).generate('Hi'),
    ],
    [
      /apiKey is a function.*Pass the key itself/,
      () => createLLM('openai', { ...address, apiKey: () => 'key' }).generate('Hi'),
    ],
    [/options\.fetch is a function/, () => llmOf({ fetch }).generate('Hi')],
    [/options\.vendor\.hook is a function/, () => llmOf().generate('Hi', { vendor: { hook: () => 1 } })],
    [
      /signal cannot fire.*timeouts\.totalMs/,
      () => llmOf().generate('Hi', { signal: new AbortController().signal }),
    ],
    [
      /signal cannot fire/,
      () => llmOf({ signal: AbortSignal.timeout(60_000) }).generate('Hi', { stream: true }),
    ],
  ]
  for (const [message, blocked] of cases) {
    const error = thrown(blocked)
    assert.equal(error.code, 'blocking_unavailable', error.message)
    assert.match(error.message, message)
    assert.match(error.provider ?? '', /^(openai|homemade)$/)
  }
  assert.equal((await simulator.requests()).length, before)
})

test('bad input is the error that it is on the async side', () => {
  const llm = llmOf()
  assert.equal(thrown(() => llm.generate('')).code, 'invalid_request')
  assert.match(thrown(() => llm.generate('Hi', { temprature: 1 } as object)).message, /temperature/)
  assert.match(thrown(() => llm.generate('Hi', { blocking: 'yes' as 'allow' })).message, /blocking.*'allow'/)
  assert.equal(thrown(() => llm.generate('Hi', { signal: AbortSignal.abort() })).code, 'cancelled')
  const round: Record<string, unknown> = {}
  round['self'] = round
  assert.match(thrown(() => llm.generate('Hi', { vendor: round })).message, /contains itself/)
})

test('a call has the time of all that may be asked one after the other, unless it has its own', () => {
  const hour = { timeouts: { totalMs: 3_600_000 } }
  const [one, patient] = [llmOf(), llmOf(hour)]
  const of = (llm: LLM, options = {}) =>
    limitOf(targetOf({ llm: llm.backend }), { ...llm.defaults, ...options })
  assert.deepEqual([of(one), of(patient)], [600_000, 3_600_000])
  assert.equal(of(fallback([one, patient])), 4_200_000)
  assert.equal(of(fallback([one, patient]), { timeouts: { totalMs: 5 } }), 5)
  const members = serializeMembers([one, fallback([one, patient])])
  const given = [{}, { timeoutMs: 7 }, { rounds: 2 }, { timeouts: { totalMs: 9 } }]
  assert.deepEqual(
    given.map((options) => limitOfMany('consensus', members, options)),
    [4_800_000, 7, 9_600_000, 600_009],
  )
  assert.equal(limitOfMany('fanOut', members, { timeouts: { totalMs: 9 } }), 9)
})

test('a closed LLM blocks no more', async () => {
  const llm = llmOf()
  llm.generate('Hi')
  await llm.close()
  assert.equal(thrown(() => llm.generate('Hi')).code, 'configuration')
})

test('a session that waits for its own turn would wait for ever', async () => {
  const session = createSession(llmOf())
  const turn = session.agenerate(slow)
  const error = thrown(() => session.generate('Hi', { blocking: 'allow' }))
  assert.equal(error.code, 'blocking_unavailable')
  assert.match(error.message, /turn of this session/)
  await turn
  assert.ok(session.generate('Hi').persisted)
  await session.close()
  assert.equal(thrown(() => session.generate('Hi')).code, 'configuration')
})

test('a store of the user\u2019s own cannot be opened by another thread', async () => {
  await using inner = sqliteStore()
  const store = new Proxy(inner, {
    get: (target, name) => (name === 'place' ? undefined : bound(target, name)),
  })
  const error = thrown(() => createSession(llmOf(), { store }).generate('Hi'))
  assert.equal(error.code, 'blocking_unavailable')
  assert.match(error.message, /sqliteStore/)
})

function bound(store: Store, name: string | symbol): unknown {
  const value = Reflect.get(store, name) as unknown
  return typeof value === 'function' ? (value.bind(store) as unknown) : value
}
