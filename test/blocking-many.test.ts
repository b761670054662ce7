/** fanOutSync and consensusSync: many LLMs, for a thread that waits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  cluster,
  consensus,
  consensusSync,
  createSession,
  fallback,
  fanOut,
  fanOutSync,
  isConvokeError,
  judge,
  majority,
  synthesize,
  unanimous,
  weighted,
} from 'convoke'
import type { ConsensusOptions, LLMOptions, Strategy, Verdict } from 'convoke'
import { z } from 'zod'
import { blockingLLM, thrown, vendors } from './blocking-kit.ts'
import type { Vendor } from './blocking-kit.ts'
import { answeredBy, simulatorThread } from './simulator-thread.ts'

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
  const startedAt = performance.now()
  const results = fanOutSync(all, slow)
  assert.equal(results.filter(({ response }) => response?.content === 'Slow.').length, 5)
  // One after the other they would take 1.5 s.
  assert.ok(performance.now() - startedAt < 1_400)
})

test('a member that is late is cancelled, and combined LLMs are members, too', () => {
  const safe = fallback(llmOf('openai', { baseURL: 'http://127.0.0.1:9/v1' }), llmOf('anthropic'))
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
    [/llms\[1\] is no LLM of createLLM/, () => fanOutSync([llmOf('openai'), session], 'Hi')],
    [/The prompt is a function/, () => fanOutSync(all, (() => 'Hi') as unknown as string)],
    [
      /normalize is a function/,
      () => consensusSync(all, 'Hi', { strategy: majority({ normalize: (text) => text }) }),
    ],
    [/strategy is a function/, () => consensusSync(all, 'Hi', { strategy: () => ({ isAgreed: true }) })],
    [/schema judges on this thread/, () => fanOutSync(all, 'Hi', { schema: z.object({}) })],
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
