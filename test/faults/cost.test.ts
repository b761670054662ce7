/** What long inputs cost: CPU of this thread, since other processes run beside. A quadratic step would cost seconds. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { textSimilarity } from 'convoke/consensus'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'
import { sendableHistory } from '../../src/session/sendable-history.ts'
import type { HistoryMessage } from '../../src/session/history.ts'
import { countAhead, totalTokens } from '../../src/session/history-tokens.ts'
import { longHistories } from '../support/long-histories.ts'

/** Milliseconds of CPU that some work takes on this thread. */
async function cpuOf(work: () => unknown): Promise<number> {
  const before = process.threadCpuUsage()
  await work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000
}

test('the similarity of long texts costs less than 2 s', async (t) => {
  const long = 'one two three four five six seven eight nine ten '.repeat(4_000)
  const ms = await cpuOf(async () =>
    assert.ok((await textSimilarity(long, long.replaceAll('ten', 'zehn'))) > 0.85),
  )
  await t.annotate(`${ms.toFixed(0)} ms`)
  assert.ok(ms < 2_000, `${ms} ms`)
})

test('a history of 20,000 messages of one role is made sendable in less than 500 ms', async (t) => {
  const cost = (count: number) => {
    const history = Array.from({ length: count }, (_, at): HistoryMessage => ({
      id: `m${at}`,
      role: 'user',
      content: [{ type: 'text', text: 'hm' }],
    }))
    return cpuOf(() => {
      const [first] = sendableHistory(history, 'openai') as unknown as [{ content: unknown[] }]
      assert.equal(first.content.length, count)
    })
  }
  await cost(1_000)
  const ms = await cost(20_000)
  await t.annotate(`${ms.toFixed(0)} ms`)
  assert.ok(ms < 500, `${ms} ms`)
})

test('the tokens of a history that was counted ahead are summed in less than 60 ms', async (t) => {
  for (const history of longHistories()) {
    await countAhead(history)
    const ms = await cpuOf(() => assert.ok(totalTokens(history, undefined, undefined) > 400_000))
    await t.annotate(`${ms.toFixed(1)} ms`)
    assert.ok(ms < 60, `${ms} ms`)
  }
})

test('a long stream of the simulator costs less than 100 µs per event, its reader included', async (t) => {
  await using simulator = await startSimulator({ reply: 'x'.repeat(400_000) })
  const ms = await cpuOf(async () => {
    const sending = request(`${simulator.url}/v1/chat/completions`, { method: 'POST' })
    sending.end(JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] }))
    const [reply] = (await once(sending, 'response')) as [IncomingMessage]
    await once(reply.resume(), 'end')
  })
  const eventsSent = simulator.requests[0]?.eventsSent ?? 0
  assert.ok(eventsSent > 100_000)
  const perEventUs = (ms * 1_000) / eventsSent
  await t.annotate(`${perEventUs.toFixed(1)} µs per event`)
  assert.ok(perEventUs < 100, `${perEventUs} µs`)
})
