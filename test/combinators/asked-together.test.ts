/** Combined LLMs as members of a fan-out or a consensus, and inside each other: what they cost, and who is asked when. */
import assert from 'node:assert/strict'
import { balance, cached, consensus, fallback, fanOut, hedge, judge, majority, withDefaults } from 'convoke'
import type { LLM, OtherAttempt } from 'convoke'
import { test } from 'vitest'
import { member, pair, pause, untilClosed } from '../support/combinators-kit.ts'

const late = { reply: { text: 'too late', latencyMs: 60_000 } }
const tokens = (otherAttempts: readonly OtherAttempt[] = []) =>
  otherAttempts.reduce((sum, { usage }) => sum + usage.totalTokens, 0)

test('what a hedge or a fallback lost is in the usage of its member, in the sums, and in those of a judge', async (t) => {
  const { a, b } = await pair(t, { reply: { text: 'one two three four', latencyMs: 2_000 } }, { reply: '0' })
  const llm = hedge([a.llm, b.llm], { afterMs: 30 })
  const { response } = (await fanOut([llm], 'Hi'))[0]
  assert.ok(response)
  assert.ok(tokens(response.otherAttempts) > 0)
  for (const stream of [true, false]) {
    const given = stream ? await fanOut([llm], 'Hi', { stream: true }).results : await fanOut([llm], 'Hi')
    const { response: reply, usage, costUsd } = given[0]
    assert.equal(usage?.totalTokens, (reply?.usage.totalTokens ?? 0) + tokens(reply?.otherAttempts))
    const lostUsd = (reply?.otherAttempts ?? []).reduce(
      (sum, otherAttempts) => sum + (otherAttempts.costUsd ?? 0),
      0,
    )
    assert.equal(costUsd, reply?.costUsd === undefined ? undefined : reply.costUsd + lostUsd)
  }
  const other = await member(t, 'gemini', { reply: '1' })
  const verdict = await consensus([llm, other.llm], 'Hi', { strategy: judge(llm), quorum: 1 })
  const [vote] = verdict.votes
  const own = (vote?.response.usage.totalTokens ?? 0) + tokens(vote?.response.otherAttempts)
  assert.ok(tokens(vote?.response.otherAttempts) > 0)
  assert.equal(verdict.members[0]?.usage.totalTokens, own)
  const { usage, response: ruling } = verdict.consultations[0] ?? {}
  assert.equal(usage?.totalTokens, (ruling?.usage.totalTokens ?? 0) + tokens(ruling?.otherAttempts))
})

test('a combined member that fails or is cancelled tells what all in it used', async (t) => {
  const { a, b } = await pair(t, late, late)
  const llm = hedge([a.llm, b.llm], { afterMs: 20 })
  const [{ error, usage }] = await fanOut([llm], 'Hi', { timeoutMs: 200 })
  assert.equal(error?.code, 'timeout')
  assert.ok(tokens(error.partial?.otherAttempts) > 0)
  assert.equal(
    usage?.totalTokens,
    (error.partial?.usage.totalTokens ?? 0) + tokens(error.partial?.otherAttempts),
  )
  for (const { simulator } of [a, b]) await untilClosed(simulator)
})

test('a reply out of a cache took nothing', async (t) => {
  const { llm } = await member(t, 'openai', { reply: 'yes' })
  const thrifty = cached(llm, new Map())
  await thrifty.agenerate('Hi')
  const [{ response, usage, costUsd }] = await fanOut([thrifty], 'Hi')
  assert.equal(response?.fromCache, true)
  assert.deepEqual([usage?.totalTokens, costUsd], [0, 0])
  const verdict = await consensus([thrifty, thrifty], 'Hi', { strategy: majority() })
  assert.equal(verdict.usage.totalTokens, 0)
})

for (const [name, wrap] of [
  ['fallback', (llm: LLM) => fallback([llm])],
  ['balance', (llm: LLM) => balance([llm])],
  ['withDefaults', (llm: LLM) => withDefaults(fallback([llm]), {})],
  ['hedge', (llm: LLM) => hedge([llm], { afterMs: 1_000 })],
] as const) {
  test(`a fallback does not wait for a vendor that wants to be waited for inside ${name}`, async (t) => {
    const fault = { status: 429, headers: { 'retry-after': '3' } }
    const a = await member(t, 'openai', { fault }, { retry: { attempts: 3 } })
    const b = await member(t, 'anthropic')
    const llm = fallback([wrap(a.llm), b.llm])
    assert.equal((await llm.agenerate('Hi')).provider, 'anthropic')
    // Of a balance, all cool down by now.
    assert.equal((await llm.agenerate('Hi')).provider, 'anthropic')
    assert.equal((await llm.stream('Hi').response).provider, 'anthropic')
    // A call that waited would have asked the vendor again.
    assert.ok(a.simulator.requests.length <= 3, `${a.simulator.requests.length} requests`)
  })
}

test('what was lost is told once, however often a stream is asked for its part', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } })
  const stream = fallback([a.llm, fallback([b.llm])]).stream('Hi')
  for await (const _ of stream) assert.ok((stream.partial.otherAttempts ?? []).length <= 1)
  assert.deepEqual(
    (await stream.response).otherAttempts?.map(({ provider }) => provider),
    ['openai'],
  )
  await pause(0)
  assert.equal(stream.partial.otherAttempts?.length, 1)
})

test('calls that share the failure of a cached one each tell their own losses', async (t) => {
  const { a, b } = await pair(
    t,
    { fault: { status: 500 } },
    { fault: { status: 500 }, reply: { latencyMs: 100 } },
  )
  const llm = fallback([a.llm, cached(b.llm, new Map())])
  const results = await fanOut([llm, llm, llm], 'Hi')
  for (const { error } of results) {
    assert.deepEqual(
      error?.partial?.otherAttempts?.map(({ provider }) => provider),
      ['openai'],
    )
  }
})
