/** Many streams in one process: how often each is read. */
import assert from 'node:assert/strict'
import { createLLM } from 'convoke'
import type { LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'

const fastReply = { chunks: Array.from({ length: 60 }, (_, at) => ` ${at}`), paceMs: 5 }
const slowReply = { chunks: ['a', 'b'], paceMs: 3_600_000 }

/** Runs with so many streams open that say nothing, on a connection each. */
async function beside(open: number, act: (llm: LLM) => Promise<void>): Promise<void> {
  const simulator = await startSimulator({
    reply: ({ prompt }) => (prompt === 'slow' ? slowReply : fastReply),
  })
  const llm = createLLM('anthropic', {
    apiKey: 'key',
    baseURL: simulator.baseURL('anthropic'),
    model: 'claude-haiku-4-5',
    maxConcurrent: Infinity,
  })
  const streams = Array.from({ length: open }, () => llm.stream('slow'))
  try {
    await Promise.all(streams.map((stream) => stream[Symbol.asyncIterator]().next()))
    await act(llm)
  } finally {
    for (const stream of streams) stream.cancel()
    await simulator.close()
  }
}

/** What one stream says, in how many turns of the event loop, and how long that took from the first piece on. */
async function follow(llm: LLM): Promise<{ text: string; arrivals: number; restMs: number }> {
  let text = ''
  let arrivals = 0
  let firstAt = 0
  let isSameTurn = false
  for await (const { content } of llm.stream('fast')) {
    if (content === '') continue
    firstAt ||= performance.now()
    text += content
    if (isSameTurn) continue
    arrivals++
    isSameTurn = true
    setImmediate(() => (isSameTurn = false))
  }
  return { text, arrivals, restMs: performance.now() - firstAt }
}

test('of hundreds of streams each is read at intervals, and its text is whole', async () => {
  await beside(400, async (llm) => {
    const { text, arrivals, restMs } = await follow(llm)
    assert.equal(text, fastReply.chunks.join(''))
    // Four reads are free; from then on 10,000 a second are shared by 401 streams.
    const most = 4 + Math.ceil(restMs / 40) + 1
    assert.ok(arrivals <= most, `${arrivals} reads in ${restMs.toFixed()} ms, not ${most}`)
  })
})

test('a few streams are read as their bytes come', async () => {
  await beside(3, async (llm) => {
    const { arrivals } = await follow(llm)
    assert.ok(arrivals > 30, `${arrivals} reads of 60 pieces`)
  })
})
