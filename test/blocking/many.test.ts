/** fanOutSync and consensusSync: many LLMs, for a thread that waits. */
import assert from 'node:assert/strict'
import {
  cluster,
  consensus,
  consensusSync,
  createSession,
  fallback,
  fallbackCodes,
  fanOut,
  fanOutSync,
  isConvokeError,
  judge,
  majority,
  synthesize,
  unanimous,
  weighted,
  withDefaults,
} from 'convoke'
import type { ConsensusOptions, LLMOptions, Verdict } from 'convoke'
import type { Strategy } from 'convoke/consensus'
import { test } from 'vitest'
import { z } from 'zod'
import { blockingLLM, rejected, thrown, vendors } from '../support/blocking-kit.ts'
import type { Vendor } from '../support/blocking-kit.ts'
import { answeredBy, simulatorThread } from '../support/simulator-thread.ts'

const simulator = await simulatorThread()
const llmOf = (vendor: Vendor, options?: LLMOptions) => blockingLLM(simulator, vendor, options)
const all = vendors.map((vendor) => llmOf(vendor))
const yes = answeredBy({ text: 'Yes.' })

/** Without what is another's in each run. */
function comparable({ timeMs: _timeMs, members, votes, dissent, consultations, ...verdict }: Verdict) {
  return {
    ...verdict,
    usage: undefined,
    members: members.map(({ member, outcome }) => ({ member, outcome })),
    votes: votes.map(({ member, answer, weight }) => ({ member, answer, weight })),
    dissent: dissent.map(({ member }) => member),
    consultations: consultations.map(({ role, provider }) => ({ role, provider })),
  }
}

test('data that looks like an error of ours stays data', () => {
  const call = { id: 'call_1', name: 'log', arguments: { plainError: { code: 'timeout', message: 'late' } } }
  const { plainError } = fanOutSync({ plainError: llmOf('openai') }, answeredBy({ toolCalls: [call] }))
  assert.deepEqual(plainError.response?.toolCalls, [call])
})

test('all are asked at once, and each has its own response or error, as on the async side', async () => {
  const bad = llmOf('openai', { baseURL: 'http://127.0.0.1:9/v1' })
  const gpt = llmOf('openai')
  const llms = { gpt, bad, twice: gpt }
  const awaited = await fanOut(llms, yes, { system: 'Be brief.' })
  const blocking = fanOutSync(llms, yes, { system: 'Be brief.' })
  assert.deepEqual(Object.keys(blocking), ['gpt', 'bad', 'twice'])
  assert.equal(blocking.gpt.response?.content, 'Yes.')
  assert.deepEqual(blocking.gpt.usage, awaited.gpt.usage)
  assert.ok(isConvokeError(blocking.bad.error))
  assert.equal(blocking.bad.error.code, awaited.bad.error?.code)
  assert.equal(blocking.bad.error.message, awaited.bad.error?.message)
  const slow = answeredBy({ text: 'Slow.', latencyMs: 300 })
  const results = fanOutSync(all, slow)
  assert.equal(results.filter(({ response }) => response?.content === 'Slow.').length, 5)
  const asked = (await simulator.requests()).slice(-5)
  const lastBegun = Math.max(...asked.map(({ startedAt }) => startedAt))
  assert.ok(asked.every(({ endedAt = 0 }) => endedAt > lastBegun))
})

test('a member that is late is cancelled, and combined LLMs are members, too', () => {
  const safe = fallback([llmOf('openai', { baseURL: 'http://127.0.0.1:9/v1' }), llmOf('anthropic')])
  const [late, saved] = fanOutSync([llmOf('cohere'), safe], answeredBy({ text: 'x', latencyMs: 400 }), {
    timeoutMs: [100, undefined],
  })
  assert.equal(late.error?.code, 'timeout')
  assert.equal(saved.response?.provider, 'anthropic')
})

const strategies: Record<string, () => Strategy> = {
  majority: () => majority(),
  weighted: () => weighted({ weights: [2, 1, 1, 1, 1] }),
  unanimous: () => unanimous(),
  cluster: () => cluster(),
  judge: () => judge(llmOf('openai'), { criteria: 'Short is good.' }),
  synthesize: () => synthesize(llmOf('openai')),
}
for (const [name, make] of Object.entries(strategies)) {
  test(`a verdict by ${name} is that of the async side`, async () => {
    // All the same, so that no order of arrival decides who is stopped.
    const options: ConsensusOptions = { strategy: make(), quorum: 5, shuffleSeed: 1 }
    const awaited = await consensus(all, yes, options)
    const blocking = consensusSync(all, yes, options)
    assert.equal(blocking.status, 'agreed')
    const plain = (verdict: Verdict) => ({ ...comparable(verdict), stopped: [], members: [], votes: [] })
    assert.deepEqual(plain(blocking), plain(awaited as Verdict))
  })
}

test('a judge is asked in the other thread, and failures keep their class', () => {
  const members = [llmOf('openai'), llmOf('anthropic', { baseURL: 'http://127.0.0.1:9' })]
  const verdict = consensusSync(members, yes, { quorum: 2 })
  assert.equal(verdict.status, 'degraded')
  assert.ok(isConvokeError(verdict.failures[0]?.error))
  assert.equal(verdict.failures[0]?.error.code, 'connection')
})

test('what cannot cross is refused, with its name', () => {
  const session = createSession(llmOf('openai'))
  const cases: [RegExp, () => unknown][] = [
    [/llms\[1\] was not made by createLLM/, () => fanOutSync([llmOf('openai'), session], 'Hi')],
    [/The prompt is a function/, () => fanOutSync(all, (() => 'Hi') as unknown as string)],
    [
      /normalize is a function/,
      () => consensusSync(all, 'Hi', { strategy: majority({ normalize: (text) => text }) }),
    ],
    [/strategy is a function/, () => consensusSync(all, 'Hi', { strategy: () => ({ isAgreed: true }) })],
    [/schema runs on this thread/, () => fanOutSync(all, 'Hi', { schema: z.object({}) })],
    [/signal cannot fire/, () => fanOutSync(all, 'Hi', { signal: new AbortController().signal })],
  ]
  for (const [message, blocked] of cases) {
    const error = thrown(blocked)
    assert.equal(error.code, 'blocking_unavailable', error.message)
    assert.match(error.message, message)
  }
  assert.equal(thrown(() => fanOutSync([], 'Hi')).code, 'invalid_request')
  assert.equal(thrown(() => consensusSync(all, 'Hi', { quorum: 9 })).code, 'invalid_request')
})

test('calls in flight would stand still', async () => {
  const waiting = fanOut(all, yes)
  assert.equal(thrown(() => fanOutSync(all, yes)).code, 'blocking_unavailable')
  assert.equal(fanOutSync(all, yes, { blocking: 'allow' }).length, 5)
  await waiting
})

test('a schema or a signal of a member\u2019s own is refused as one of the call is', () => {
  const schema = z.object({ city: z.string() })
  const ok = llmOf('openai')
  const later = new AbortController().signal
  const cases: [string, RegExp, () => unknown][] = [
    [
      'blocking_unavailable',
      /llms\[1\] has a schema/,
      () => fanOutSync([ok, llmOf('openai', { schema })], 'Hi'),
    ],
    [
      'blocking_unavailable',
      /signal cannot fire/,
      () => fanOutSync({ a: llmOf('openai', { signal: later }) }, 'Hi'),
    ],
    [
      'cancelled',
      /cancelled/,
      () => consensusSync([ok, llmOf('openai', { signal: AbortSignal.abort() })], 'Hi'),
    ],
    [
      'blocking_unavailable',
      /strategy.* has a schema/,
      () => consensusSync([ok], 'Hi', { strategy: judge(llmOf('openai', { schema })) }),
    ],
    [
      'blocking_unavailable',
      /has a schema/,
      () => fanOutSync([withDefaults(ok, { schema }), fallback([llmOf('openai', { schema })])], 'Hi'),
    ],
  ]
  for (const [code, message, blocked] of cases) {
    const error = thrown(blocked)
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
  }
})

test('data that looks like an LLM or a strategy on its way stays data', () => {
  const metadata = { remade: 'llm', kind: 'llm' }
  assert.equal(consensusSync([llmOf('openai'), llmOf('cohere')], yes, { metadata }).status, 'agreed')
  const { kind } = fanOutSync({ kind: llmOf('openai') }, yes, {
    metadata,
    vendor: { user: 'x', kind: 'strategy' },
  })
  assert.equal(kind.response?.content, 'Yes.')
})

test('a member that is closed fails alone, as on the async side', async () => {
  const closed = llmOf('openai')
  const gone = fallback([llmOf('openai'), llmOf('cohere')])
  await Promise.all([closed.close(), gone.close()])
  const llms = { closed, ok: llmOf('openai'), gone }
  const awaited = await fanOut(llms, yes)
  const blocking = fanOutSync(llms, yes)
  for (const key of ['closed', 'ok', 'gone'] as const) {
    const [{ timeMs: _ours, ...mine }, { timeMs: _theirs, ...theirs }] = [blocking[key], awaited[key]]
    assert.deepEqual(
      { ...mine, response: mine.response?.content, error: { ...mine.error, message: mine.error?.message } },
      {
        ...theirs,
        response: theirs.response?.content,
        error: { ...theirs.error, message: theirs.error?.message },
      },
    )
  }
  assert.equal(blocking.closed.error?.code, 'configuration')
  const options = { quorum: 1, shuffleSeed: 1 }
  const verdict = consensusSync([closed, llmOf('cohere')], yes, options)
  assert.deepEqual(
    comparable(verdict).members,
    comparable((await consensus([closed, llmOf('cohere')], yes, options)) as Verdict).members,
  )
  // Each reply names its model, so that there is something to judge.
  const judged: ConsensusOptions = { strategy: judge(closed), shuffleSeed: 1 }
  const split = consensusSync(all, 'What is it?', judged)
  const { status, reason } = await consensus(all, 'What is it?', judged)
  assert.deepEqual([split.status, split.reason], [status, reason])
  assert.match(reason, /judge gave no ruling \(configuration\)/)
})

test('members that may block, all of them, need no word of the call', async () => {
  const free = () => llmOf('openai', { blocking: 'allow' })
  const waiting = llmOf('openai').agenerate(answeredBy({ text: 'x', latencyMs: 200 }))
  assert.equal(fanOutSync([free(), withDefaults(free(), { seed: 1 })], yes).length, 2)
  assert.equal(consensusSync({ a: free(), b: free() }, yes).status, 'agreed')
  assert.equal(thrown(() => fanOutSync([free(), llmOf('openai')], yes)).code, 'blocking_unavailable')
  await waiting
})

test('options that are none are the error of the async side', async () => {
  const none = null as unknown as object
  for (const blocked of [() => fanOutSync(all, 'Hi', none), () => consensusSync(all, 'Hi', none)])
    assert.equal(thrown(blocked).code, 'invalid_request')
})

test('a member that is overdue in line has timeout, and a closed one of a fallback fails alone', async () => {
  const limited = llmOf('openai', { rateLimit: { requestsPerMinute: 1 } })
  limited.generate('one')
  const { late } = fanOutSync({ late: limited }, 'Hi', { timeouts: { totalMs: 100 } })
  assert.deepEqual([late.error?.code, late.error?.phase], ['timeout', 'total'])
  const closed = llmOf('openai')
  const either = fallback([closed, llmOf('anthropic')], { on: [...fallbackCodes, 'configuration'] })
  await closed.close()
  assert.equal(either.generate(yes).content, (await either.agenerate(yes)).content)
  const none = fallback([closed, llmOf('anthropic')])
  assert.equal(thrown(() => none.generate(yes)).message, (await rejected(none.agenerate(yes))).message)
  const open = llmOf('openai')
  const warm = fallback([open, llmOf('anthropic')], { on: [...fallbackCodes, 'configuration'] })
  assert.equal(warm.generate(yes).provider, 'openai')
  void open.close()
  assert.equal(warm.generate(yes).provider, 'anthropic')
})
