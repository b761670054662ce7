/** Which fault a request gets, and what exactly it sends. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'

type Headers = Record<string, string>

const chat = (content: unknown = 'Hi', stream = false) => ({
  model: 'm',
  stream,
  messages: [{ role: 'user', content }],
})

test('a queued fault wins over the header, the header over the options, and the options over the reply', async () => {
  await using simulator = await startSimulator({
    fault: ({ prompt }) => (prompt === 'plain' ? undefined : { status: 503 }),
    reply: { text: 'x', fault: { status: 504 } },
  })
  const status = async (prompt: string, headers: Headers = {}) =>
    (await post(simulator, '/v1/chat/completions', chat(prompt), headers)).status
  const header = { 'x-simulator-fault': '{"status":502}' }
  simulator.failNext({ status: 429 }, 2)
  assert.equal(await status('Hi', header), 429)
  assert.equal(await status('Hi'), 429)
  assert.equal(await status('Hi', header), 502)
  assert.equal(await status('Hi'), 503)
  assert.equal(await status('plain'), 504)
  simulator.failNext({ status: 429 })
  simulator.reset()
  assert.equal(await status('Hi'), 503)
})

test('an invalid fault header gets a 400 that says why', async () => {
  await using simulator = await startSimulator()
  for (const [fault, message] of [
    ['{"status"', /x-simulator-fault is not JSON/],
    ['{"statuses":5}', /Unknown field fault\.statuses/],
  ] as const) {
    const reply = await post(simulator, '/v1/chat/completions', chat(), { 'x-simulator-fault': fault })
    assert.equal(reply.status, 400)
    assert.match(await reply.text(), message)
  }
})

test('a fault may have a raw body and headers, also with the status 200', async () => {
  await using simulator = await startSimulator()
  simulator.failNext({
    status: 503,
    body: '<h1>Bad gateway</h1>',
    headers: { 'x-should-retry': 'false' },
    retryAfter: 2,
  })
  const first = await post(simulator, '/v1/chat/completions', chat())
  assert.equal(await first.text(), '<h1>Bad gateway</h1>')
  assert.deepEqual(
    ['content-type', 'x-should-retry', 'retry-after'].map((name) => first.headers.get(name)),
    ['text/html; charset=utf-8', 'false', '2'],
  )
  simulator.failNext({ status: 200, body: '{"message":' })
  const second = await post(simulator, '/v2/chat', chat())
  assert.deepEqual([second.status, await second.text()], [200, '{"message":'])
  simulator.failNext({ headers: { 'x-request-id': 'mine' } })
  assert.equal((await post(simulator, '/v1/chat/completions', chat())).headers.get('x-request-id'), 'mine')
})

test('a reset wins over a status, and a status over the faults of the stream', async () => {
  await using simulator = await startSimulator()
  simulator.failNext({ status: 418, cutAfter: 0 })
  assert.equal((await post(simulator, '/v1/chat/completions', chat())).status, 418)
  simulator.failNext({ status: 418, reset: true })
  await assert.rejects(post(simulator, '/v1/chat/completions', chat()))
})

test("a share sends exactly that part of the stream's events", async () => {
  await using simulator = await startSimulator({ reply: { chunks: [...'abcdefgh'] } })
  // The stream has one event for the role, eight of text, one for the end, and [DONE].
  for (const [share, events] of [
    [0, 0],
    [0.5, 5],
    [0.99, 10],
    [1, 10],
  ] as const) {
    simulator.failNext({ endAfter: share })
    const text = await (await post(simulator, '/v1/chat/completions', chat('Hi', true))).text()
    assert.equal(text.split('data: ').length - 1, events)
    assert.equal(simulator.requests.at(-1)?.eventsSent, events)
    assert.ok(!text.includes('[DONE]'))
  }
  simulator.failNext({ junkAfter: 0.5 })
  const text = await (await post(simulator, '/v1/chat/completions', chat('Hi', true))).text()
  const events = text.split('\n\n')
  assert.equal(events.length - 1, 12)
  assert.throws(() => JSON.parse((events[5] ?? '{}').replace('data: ', '')), SyntaxError)
  assert.equal(simulator.requests.at(-1)?.outcome, 'fault')
})

test('a share sends exactly that part of the bytes of a reply without streaming', async () => {
  await using simulator = await startSimulator({ reply: { text: '🙂'.repeat(50), id: 'x' } })
  const whole = Buffer.from(await (await post(simulator, '/api/chat', chat())).arrayBuffer()).length
  simulator.failNext({ endAfter: 0.5 })
  const part = await (await post(simulator, '/api/chat', chat())).arrayBuffer()
  assert.equal(part.byteLength, Math.floor(whole / 2))
  simulator.failNext({ stallAfter: 0.5 })
  const stalled = await post(simulator, '/api/chat', chat())
  assert.equal(stalled.headers.get('content-length'), String(whole))
  const stream = (stalled.body ?? assert.fail()).getReader()
  assert.equal((await stream.read()).value?.length, Math.floor(whole / 2))
  assert.equal(await Promise.race([stream.read(), sleep(60, 'nothing')]), 'nothing')
  await stream.cancel()
})

test('comments are sent between events if the vendor streams server-sent events', async () => {
  await using simulator = await startSimulator({ reply: { chunks: ['a', 'b'] }, fault: { comments: true } })
  const stream = async (path: string) => (await post(simulator, path, chat('Hi', true))).text()
  assert.equal((await stream('/v1/chat/completions')).split(': keep-alive\n\n').length - 1, 4)
  assert.ok(!(await stream('/api/chat')).includes('keep-alive'))
})

test('the latency comes before the headers: the fault wins over the reply, and the reply over the options', async () => {
  await using simulator = await startSimulator({ latencyMs: 40 })
  const took = async () => {
    const started = performance.now()
    await post(simulator, '/v1/chat/completions', chat('Hi', true))
    return performance.now() - started
  }
  const first = await took()
  assert.ok(first >= 39, String(first))
  simulator.setReply({ text: 'x', latencyMs: 90 })
  assert.ok((await took()) >= 89)
  simulator.failNext({ latencyMs: 150 })
  assert.ok((await took()) >= 149)
  simulator.failNext({ latencyMs: 60, status: 500 })
  assert.ok((await took()) >= 59)
})

test('the pace is kept between events', async () => {
  await using simulator = await startSimulator({ reply: { chunks: [...'abcdef'], paceMs: 10 }, paceMs: 0 })
  const started = performance.now()
  await (await post(simulator, '/api/chat', chat('Hi', true))).text()
  const took = performance.now() - started
  assert.ok(took >= 55, String(took))
})

function post(simulator: Simulator, path: string, body: unknown, headers: Headers = {}): Promise<Response> {
  return fetch(simulator.url + path, { method: 'POST', body: JSON.stringify(body), headers })
}
