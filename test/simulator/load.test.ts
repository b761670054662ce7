/** Thousands of streams at once, slow readers, and the cost of an event. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Simulator } from '../../src/simulator/index.ts'

const STREAMS = 4000
const PATHS = ['/v1/chat/completions', '/v1/messages', '/v2/chat', '/api/chat']

if (process.env['SIMULATOR_LOAD_CLIENT'] !== undefined) {
  await runClient(process.env['SIMULATOR_LOAD_CLIENT'])
} else {
  test('it holds 4,000 streams at once, and ends them all', async () => {
    let arrived = 0
    let openGate: () => void = () => undefined
    const admission = new Promise<void>((resolve) => (openGate = resolve))
    // No stream starts before all requests have arrived, so that all streams run at once.
    const reply = async () => {
      if (++arrived === STREAMS) openGate()
      await admission
      return { chunks: [...'abcdef'] }
    }
    await using simulator = await startSimulator({ reply, paceMs: 100 })
    // The client is a separate process, because both ends in one would exceed the descriptor limit of many machines.
    const client = fork(new URL(import.meta.url), {
      env: { ...process.env, SIMULATOR_LOAD_CLIENT: simulator.url },
    })
    const done = once(client, 'message') as Promise<[number]>
    await admission
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

  test('a paused reader stops the writes, and its disconnect is recorded within 250 ms', async () => {
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
    const leftAt = performance.now()
    reply.destroy()
    while (record?.outcome === 'open' && performance.now() - leftAt < 1000) await sleep(5)
    assert.equal(record?.outcome, 'client-closed')
    assert.ok(performance.now() - leftAt < 250)
  })

  test('a stalled stream whose client leaves is recorded within 250 ms', async () => {
    await using simulator = await startSimulator({ fault: { stallAfter: 0.5 } })
    for (const path of PATHS) {
      const reply = await stream(simulator, path)
      await once(reply, 'data')
      const leftAt = performance.now()
      reply.destroy()
      while (simulator.openStreams > 0 && performance.now() - leftAt < 1000) await sleep(5)
      assert.ok(performance.now() - leftAt < 250)
      assert.equal(simulator.requests.at(-1)?.outcome, 'client-closed')
    }
  })

  test('a client that disconnects while the reply function runs is recorded, and nothing is sent', async () => {
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
    assert.deepEqual(
      [simulator.requests[0]?.outcome, simulator.requests[0]?.eventsSent],
      ['client-closed', 0],
    )
  })

  test('a long stream at full speed costs microseconds per event', async () => {
    await using simulator = await startSimulator({ reply: 'x'.repeat(400_000) })
    const started = performance.now()
    const reply = await stream(simulator, '/v1/chat/completions')
    await once(reply.resume(), 'end')
    const eventsSent = simulator.requests[0]?.eventsSent ?? 0
    const perEventUs = ((performance.now() - started) * 1000) / eventsSent
    assert.ok(eventsSent > 100_000)
    assert.ok(perEventUs < 100, `${perEventUs} µs`)
  })
}

async function stream(simulator: Simulator, path: string): Promise<IncomingMessage> {
  const sending = request(simulator.url + path, { method: 'POST' })
  sending.end(JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] }))
  const [reply] = (await once(sending, 'response')) as [IncomingMessage]
  return reply.on('error', () => undefined)
}

/** Opens all streams at once, and counts those that end with their terminal event. */
async function runClient(url: string): Promise<void> {
  const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] })
  const one = async (path: string): Promise<boolean> => {
    const sending = request(url + path, { method: 'POST', agent: false })
    sending.end(body)
    const [reply] = (await once(sending, 'response')) as [IncomingMessage]
    let last = ''
    reply.on('data', (bytes: Buffer) => (last = bytes.toString()))
    await once(reply, 'end')
    return /\[DONE\]|message_stop|message-end|"done":true/.test(last)
  }
  const all = Array.from({ length: STREAMS }, (_, index) =>
    one(PATHS[index % PATHS.length] ?? '').catch(() => false),
  )
  const completed = (await Promise.all(all)).filter(Boolean).length
  process.send?.(completed)
  process.disconnect()
}
