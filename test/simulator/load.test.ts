/** Thousands of streams at once, slow readers, and the cost of an event. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'
import { streamPaths } from '../support/stream-paths.ts'

const STREAMS = 4000

test('it holds 4,000 streams at once, and ends them all', async () => {
  let arrived = 0
  let startAll: () => void = () => undefined
  const allArrived = new Promise<void>((resolve) => (startAll = resolve))
  // No stream starts before all of them are there, so that they all run at once.
  const reply = async () => {
    if (++arrived === STREAMS) startAll()
    await allArrived
    return { chunks: [...'abcdef'] }
  }
  await using simulator = await startSimulator({ reply, paceMs: 100 })
  // A process of its own: both ends in one would need more descriptors than many machines allow.
  const client = fork(new URL('../support/load-client.ts', import.meta.url), [simulator.url, String(STREAMS)])
  const done = once(client, 'message') as Promise<[number]>
  await allArrived
  assert.equal(simulator.openStreams, STREAMS)
  assert.equal(simulator.openSockets, STREAMS)
  const [completed] = await done
  await once(client, 'exit')
  assert.equal(completed, STREAMS)
  assert.equal(simulator.openStreams, 0)
  assert.equal(simulator.requests.filter((record) => record.outcome === 'complete').length, STREAMS)
  const rssMb = process.memoryUsage().rss / 2 ** 20
  assert.ok(rssMb < 700, `${rssMb} MB`)
})

test('a reader that pauses stops the writes, and its leaving is recorded', async () => {
  await using simulator = await startSimulator({
    reply: { text: 'x'.repeat(16 * 2 ** 20), chunkSize: 1000 },
  })
  const reply = await stream(simulator, '/v1/chat/completions')
  reply.pause()
  const [record] = simulator.requests
  await sleep(200)
  const sent = record?.eventsSent ?? 0
  await sleep(100)
  assert.equal(record?.eventsSent, sent)
  assert.ok(sent > 0 && sent < 16_000, String(sent))
  reply.destroy()
  while (record?.outcome === 'open') await sleep(5)
  assert.equal(record?.outcome, 'client-closed')
})

test('a stalled stream whose client leaves is recorded', async () => {
  await using simulator = await startSimulator({ fault: { stallAfter: 0.5 } })
  for (const path of streamPaths) {
    const reply = await stream(simulator, path)
    await once(reply, 'data')
    reply.destroy()
    while (simulator.openStreams > 0) await sleep(5)
    assert.equal(simulator.requests.at(-1)?.outcome, 'client-closed')
  }
})

test('a client that leaves while the reply is thought out is recorded, and nothing is sent', async () => {
  let answer: (text: string) => void = () => undefined
  await using simulator = await startSimulator({
    reply: () => new Promise((resolve) => (answer = resolve)),
  })
  const sending = request(`${simulator.url}/api/chat`, { method: 'POST' }).on('error', () => undefined)
  sending.end(JSON.stringify({ model: 'm', messages: [] }))
  while (simulator.requests.length === 0) await sleep(5)
  sending.destroy()
  while (simulator.requests[0]?.outcome === 'open') await sleep(5)
  answer('too late')
  await sleep(10)
  assert.deepEqual([simulator.requests[0]?.outcome, simulator.requests[0]?.eventsSent], ['client-closed', 0])
})

async function stream(simulator: Simulator, path: string): Promise<IncomingMessage> {
  const sending = request(simulator.url + path, { method: 'POST' })
  sending.end(JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] }))
  const [reply] = (await once(sending, 'response')) as [IncomingMessage]
  return reply.on('error', () => undefined)
}
