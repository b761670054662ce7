import assert from 'node:assert/strict'
import { ConvokeError, createLLM, createSession, fallback, fanOut, hedge, isConvokeError } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { MemberChunk } from 'convoke'
import type { Member } from 'convoke/consensus'
import type { ProviderChunk } from 'convoke/provider'
import { test } from 'vitest'
import { hang, panel, untilQuiet } from '../support/panel-kit.ts'

test('all are settled, keyed and in order, each with its own response or error, time and usage', async () => {
  await using five = await panel({
    slow: { text: 'slowly', latencyMs: 60 },
    fast: 'at once',
    busy: { fault: { status: 429 } },
    dead: { fault: { reset: true } },
    last: 'here',
  })
  const results = await fanOut(five.llms, 'Hi')
  assert.deepEqual(Object.keys(results), ['slow', 'fast', 'busy', 'dead', 'last'])
  assert.deepEqual(
    Object.values(results).map(({ response, error }) => response?.content ?? error?.code),
    ['slowly', 'at once', 'rate_limited', 'connection', 'here'],
  )
  const { slow, busy } = results
  assert.ok(slow?.response && slow.timeMs >= 55)
  assert.equal(slow.usage, slow.response.usage)
  assert.equal(slow.index, 0)
  assert.equal(busy?.provider, 'gemini')
  assert.equal(busy?.usage?.totalTokens, 0)
})

test('a list gives a list, in which a member may stand several times under names of its own', async () => {
  let count = 0
  await using one = await panel({ dice: () => `${++count}` })
  const llm = one.llm('dice')
  const results = await fanOut([llm, llm, llm], 'Throw')
  assert.deepEqual(
    results.map(({ key }) => key),
    ['openai/dice', 'openai/dice#2', 'openai/dice#3'],
  )
  assert.deepEqual(results.map(({ response }) => response?.content).sort(), ['1', '2', '3'])
})

test('each member may have a prompt of its own, and one that cannot be made fails that member alone', async () => {
  const echo = ({ prompt }: { prompt: string }) => prompt
  await using three = await panel({ a: echo, b: echo, c: echo })
  const results = await fanOut(three.llms, ({ key, index }) => {
    if (key === 'b') throw new Error('no idea')
    return `${key} is ${index}`
  })
  assert.equal(results['a']?.response?.content, 'a is 0')
  assert.equal(results['c']?.response?.content, 'c is 2')
  assert.equal(results['b']?.error?.code, 'invalid_request')
  assert.match(results['b']?.error?.message ?? '', /prompt function failed for member b: no idea/)
})

test('a session is a member as any other, and remembers', async () => {
  await using one = await panel({ a: ({ messages }) => `${messages.length} messages` })
  await using session = createSession(one.llm('a'))
  await fanOut([session], 'Hi')
  const { plain, kept } = await fanOut({ plain: one.llm('a'), kept: session }, 'Hi')
  assert.equal(plain.response?.content, '1 messages')
  assert.equal(kept.response?.content, '3 messages')
})

test('a member that is late has the error timeout and its socket is closed, by a deadline of its own', async () => {
  await using three = await panel({ quick: 'here', late: hang, later: hang })
  const [quick, late, later] = await fanOut(
    [three.llm('quick'), three.llm('late'), three.llm('later')],
    'Hi',
    { timeoutMs: [Infinity, 150, 250] },
  )
  assert.equal(quick.response?.content, 'here')
  for (const { error } of [late, later]) assert.equal(error?.code, 'timeout')
  assert.match(late.error?.message ?? '', /no answer within timeoutMs 150\./)
  assert.ok(late.timeMs >= 145 && later.timeMs >= 245)
  await untilQuiet(three.simulator)
})

test('the history of a session that is late says so, and not that somebody cancelled it', async () => {
  await using two = await panel({ a: ({ prompt }) => (prompt === 'Hi' ? hang : 'here'), b: hang })
  await using session = createSession(two.llm('a'))
  await session.agenerate('Are you there?')
  const [alone, combined] = await fanOut([session, fallback([two.llm('a'), two.llm('b')])], 'Hi', {
    timeoutMs: 300,
  })
  const told = { code: 'timeout', phase: 'total', isRetryable: false } as const
  for (const { error } of [alone, combined]) {
    assert.deepEqual({ code: error?.code, phase: error?.phase, isRetryable: error?.isRetryable }, told)
    assert.equal(error?.partial?.finishReason, 'error')
    assert.match(error?.message ?? '', /^\[openai\] There was no answer within timeoutMs 300\.$/)
  }
  const { status, error } = (await session.history()).at(-1) ?? {}
  assert.deepEqual([status, error?.code], ['failed', 'timeout'])
})

test('what ends all of a member is no failure of one before; a member of its own kind ends so as well', async () => {
  await using two = await panel({ a: hang, b: hang })
  const own: Member = {
    provider: 'mine',
    model: undefined,
    agenerate: (_prompt, { signal } = {}) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error))),
    stream: () => assert.fail('not asked'),
  }
  const wrapped: Member = {
    ...own,
    provider: 'openai',
    agenerate(prompt, { signal } = {}) {
      const controller = new AbortController()
      signal?.addEventListener('abort', () => controller.abort())
      return two.llm('a').agenerate(prompt, { signal: controller.signal })
    },
  }
  const both = hedge([two.llm('a'), two.llm('b')], { afterMs: 0 })
  const results = await fanOut([both, own, wrapped], 'Hi', { timeoutMs: 200 })
  const told = results.map(({ error }) => error?.message.replace(/^\[\w+\] /, ''))
  assert.deepEqual(told, Array(3).fill('There was no answer within timeoutMs 200.'))
  assert.deepEqual([results[1].error?.provider, results[1].error?.code], ['mine', 'timeout'])
})

test("a signal that fires with another call's error cancels, and says so", async () => {
  await using one = await panel({ a: hang })
  const reason = new ConvokeError('timeout', 'No content came.', { provider: 'other', phase: 'firstChunk' })
  const controller = new AbortController()
  const asked = fanOut(one.llms, 'Hi', { signal: controller.signal })
  controller.abort(reason)
  const { code, cause, isRetryable, message } = (await asked)['a']?.error ?? {}
  assert.deepEqual([code, cause, isRetryable], ['cancelled', reason, false])
  assert.match(message ?? '', /The call was cancelled: \[other\] No content came\./)
})

test('an abort cancels those that still run, and the others keep what they had', async () => {
  await using two = await panel({ quick: 'here', late: hang })
  const controller = new AbortController()
  const asked = fanOut(two.llms, 'Hi', { signal: controller.signal })
  while (two.simulator.requests.filter(({ outcome }) => outcome === 'complete').length < 1) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  controller.abort(new Error('enough'))
  const { quick, late } = await asked
  assert.equal(quick?.response?.content, 'here')
  assert.equal(late?.error?.code, 'cancelled')
  await untilQuiet(two.simulator)
})

test('a stream tells which member each chunk is of, ends each one by itself, and gives the results', async () => {
  await using three = await panel({
    a: { text: 'one two', paceMs: 2 },
    b: { fault: { status: 500 } },
    c: 'three',
  })
  const stream = fanOut(three.llms, 'Hi', { stream: true })
  const chunks: MemberChunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  const of = (name: string) => chunks.filter(({ member }) => member === name)
  assert.equal(
    of('a')
      .map(({ content }) => content)
      .join(''),
    'one two',
  )
  assert.equal(of('a').at(-1)?.type, 'finish')
  const [only, ...more] = of('b')
  assert.ok(only?.type === 'error' && only.error.code === 'server_error' && only.index === 1)
  assert.equal(more.length, 0)
  const results = await stream.results
  assert.equal(results['a']?.response?.content, 'one two')
  assert.equal(results['b']?.error, only.error)
})

test('results alone read the streams to their ends', async () => {
  const text = 'word '.repeat(2_000)
  await using two = await panel({ a: text, b: text })
  const results = await fanOut(two.llms, 'Hi', { stream: true }).results
  assert.deepEqual(
    Object.values(results).map(({ response }) => response?.content.length),
    [text.length, text.length],
  )
})

test('leaving the loop cancels all and closes their sockets', async () => {
  await using three = await panel({
    a: { text: 'x'.repeat(4_000), paceMs: 5 },
    b: { text: 'y'.repeat(4_000), paceMs: 5 },
    c: hang,
  })
  const stream = fanOut(three.llms, 'Hi', { stream: true })
  let count = 0
  for await (const { content } of stream) if (content && ++count === 4) break
  await untilQuiet(three.simulator)
  assert.equal(three.simulator.openStreams, 0)
  for (const { error } of Object.values(await stream.results)) assert.equal(error?.code, 'cancelled')
})

/** A vendor of the tests' own, that never waits: a source as fast as can be. */
registerProvider('torrent', () => ({
  name: 'torrent',
  async *stream({ model }, signal): AsyncGenerator<ProviderChunk, void, void> {
    yield { type: 'start', content: '', id: 't', model }
    for (let at = 0; at < 6_000 && !signal.aborted; at++) yield { type: 'text', content: 'x' }
    yield { type: 'finish', content: '', finishReason: 'stop' }
  },
}))

test('a fast member starves no slow one, not even one that never waits for anything', async () => {
  await using one = await panel({ slow: { text: 'a b c d', paceMs: 5 } })
  // Its SDK is loaded, and its connection open.
  await one.llm('slow').agenerate('Hi')
  const fast = createLLM('torrent', { model: 'm' })
  const order: string[] = []
  const stream = fanOut({ fast, slow: one.llm('slow') }, 'Hi', { stream: true })
  for await (const { member, content } of stream) if (content) order.push(member)
  assert.equal(order.filter((member) => member === 'fast').length, 6_000)
  const first = order.indexOf('slow')
  assert.ok(first >= 0 && first < 5_700, `the slow one came first at chunk ${first} of ${order.length}`)
})

test('members that are equally fast take turns', async () => {
  const torrent = createLLM('torrent', { model: 'm' })
  const last = new Map<string, number>()
  let longestGap = 0
  let count = 0
  for await (const { member } of fanOut([torrent, torrent, torrent], 'Hi', { stream: true })) {
    // Beside the starts and the ends, where not all have something.
    if (++count > 200 && count < 15_000) longestGap = Math.max(longestGap, count - (last.get(member) ?? 0))
    last.set(member, count)
  }
  assert.equal(last.size, 3)
  assert.ok(longestGap <= 5, `a member waited while ${longestGap} chunks of others passed`)
})

test('bad input is told before anything is sent, with the remedy', async () => {
  await using one = await panel({ a: 'x' })
  const { llms } = one
  const bad: [unknown[], RegExp][] = [
    [[[], 'Hi'], /no LLM to ask\. Pass a list/],
    [[{}, 'Hi'], /no LLM to ask/],
    [[one.llm('a'), 'Hi'], /no LLM to ask/],
    [[[{}], 'Hi'], /Member 0 is an object, not an LLM\. Make it with createLLM/],
    [[llms, 'Hi', { timeoutMs: 0 }], /option timeoutMs is 0; it takes milliseconds above 0/],
    [[llms, 'Hi', { timeoutMs: { b: 5 } }], /Unknown member "b" in timeoutMs; members are a\./],
    [[llms, 'Hi', { timeoutMs: [1, 2] }], /2 entries for 1 member\./],
    [[llms, 'Hi', { temprature: 1 }], /no option temprature.*temperature/],
  ]
  for (const [args, message] of bad) {
    const call = fanOut as unknown as (...args: unknown[]) => Promise<unknown>
    await assert.rejects(call(...args), (error) => {
      assert.ok(isConvokeError(error) && error.code === 'invalid_request')
      assert.match(error.message, message)
      return true
    })
  }
  assert.equal(one.simulator.requests.length, 0)
})

test('a stream is read once', async () => {
  await using one = await panel({ a: 'x' })
  const stream = fanOut(one.llms, 'Hi', { stream: true })
  for await (const _chunk of stream);
  assert.throws(() => stream[Symbol.asyncIterator](), /read already.*stream\.results/)
})
