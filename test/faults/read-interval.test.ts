/** Streams beside a thousand others are read at intervals, which the next request on a connection does not inherit. */
import assert from 'node:assert/strict'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createLLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'

const fast = { chunks: Array.from({ length: 60 }, (_, at) => ` ${at}`), paceMs: 5 }
const silent = { chunks: ['a', 'b'], paceMs: 3_600_000 }
/** Beside 1,100 streams that share 10,000 reads a second, each is read about every 100 ms. */
const intervalMs = 100

test('the next request on the same connection waits for no interval', async (t) => {
  await using simulator = await startSimulator({
    reply: ({ prompt }) => (prompt === 'silent' ? silent : fast),
  })
  await using llm = createLLM('anthropic', {
    apiKey: 'key',
    baseURL: simulator.baseURL('anthropic'),
    model: 'claude-haiku-4-5',
    maxConcurrent: Infinity,
  })
  const streams = Array.from({ length: 1_100 }, () => llm.stream('silent'))
  await Promise.all(streams.map((stream) => stream[Symbol.asyncIterator]().next()))
  const monitor = monitorEventLoopDelay({ resolution: 5 })
  monitor.enable()
  const firstMs: number[] = []
  for (let at = 0; at < 6; at++) {
    const startedAtMs = performance.now()
    let isFirst = true
    // Read to the end: each stream ends right behind a read.
    for await (const { content } of llm.stream('fast')) {
      if (content && isFirst) firstMs.push(performance.now() - startedAtMs)
      if (content) isFirst = false
    }
  }
  monitor.disable()
  for (const stream of streams) stream.cancel()
  // What the machine itself is late by is allowed.
  const lateMs = Math.max(0, monitor.percentile(50) / 1e6 - 5)
  await t.annotate(`${firstMs.map((ms) => ms.toFixed(0)).join(', ')} ms, late by ${lateMs.toFixed(0)} ms`)
  assert.ok(Math.min(...firstMs.slice(1)) < 0.6 * intervalMs + 3 * lateMs, firstMs.join())
})
