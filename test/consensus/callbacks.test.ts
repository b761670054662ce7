/** Functions of the caller's in a consensus: what they throw, or never give, costs a vote or a ruling and never hangs it. */
import assert from 'node:assert/strict'
import { cluster, consensus, fanOut, isConvokeError, majority } from 'convoke'
import type { GenerateResponse } from 'convoke'
import type { Member } from 'convoke/consensus'
import { test } from 'vitest'
import { panel } from '../support/panel-kit.ts'

const never = () => new Promise<never>(() => {})
const codeOf = (error: unknown) => (isConvokeError(error) ? error.code : error)

/** A member that listens to nothing. */
const deaf: Member = {
  agenerate: never,
  stream: () => ({
    response: never() as Promise<GenerateResponse>,
    cancel: () => {},
    async *[Symbol.asyncIterator]() {
      yield await never()
    },
  }),
}

test('a reply that normalize cannot read is a failure of its member, not the end of all', async () => {
  const slowly = { text: '{"answer":"yes"}', latencyMs: 100 }
  await using members = await panel({ a: slowly, b: 'yes', c: slowly })
  const normalize = (text: string) => (JSON.parse(text) as { answer: string }).answer
  const verdict = await consensus(members.llms, 'Is 97 prime?', { strategy: majority({ normalize }) })
  assert.deepEqual([verdict.status, verdict.agreement], ['agreed', 1])
  assert.deepEqual(
    verdict.failures.map(({ member, error }) => [member, error.code, error.partial?.content]),
    [['b', 'invalid_output', 'yes']],
  )
})

test('a strategy that never rules is left at timeoutMs, with what a majority would say', async () => {
  await using members = await panel({ a: 'yes', b: 'no', c: 'yes' })
  // The SDK loads: the time is for the strategies.
  await consensus(members.llms, 'Is 97 prime?')
  for (const strategy of [cluster({ embed: never }), cluster(never), never]) {
    const verdict = await consensus(members.llms, 'Is 97 prime?', { strategy, timeoutMs: 500 })
    assert.deepEqual([verdict.status, verdict.answer], ['degraded', 'yes'])
    assert.match(verdict.reason, /timeoutMs 500/)
  }
})

test('a cancel does not wait for a strategy', async () => {
  await using members = await panel({ a: 'yes', b: 'no' })
  const run = consensus(members.llms, 'Is 97 prime?', { strategy: never })
  setTimeout(() => run.cancel('enough'), 200)
  assert.equal(codeOf(await run.then(undefined, (error: unknown) => error)), 'cancelled')
})

test('a member that does not listen to its signal is left at its deadline', async () => {
  await using members = await panel({ a: 'yes', b: 'yes' })
  const llms = { ...members.llms, deaf }
  const verdict = await consensus(llms, 'Is 97 prime?', { quorum: 3, timeoutMs: 200 })
  assert.equal(verdict.status, 'degraded')
  assert.deepEqual(
    verdict.failures.map(({ member, error }) => [member, error.code]),
    [['deaf', 'timeout']],
  )
  const stopped = await consensus(llms, 'Is 97 prime?')
  assert.deepEqual([stopped.status, stopped.stopped], ['agreed', ['deaf']])
  const results = await fanOut({ deaf }, 'Hi', { timeoutMs: 100 })
  assert.equal(results.deaf.error?.code, 'timeout')
})

test('a stream of many goes on when a member that listens to nothing is left', async () => {
  await using members = await panel({ a: 'yes' })
  const seen: string[] = []
  const stream = fanOut({ ...members.llms, deaf }, 'Hi', { timeoutMs: 300, stream: true })
  for await (const { member, type } of stream) seen.push(`${member} ${type}`)
  assert.deepEqual(seen, ['a start', 'a text', 'a finish', 'deaf error'])
  for await (const _ of fanOut({ ...members.llms, deaf }, 'Hi', { stream: true })) break
})
