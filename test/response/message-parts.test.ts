/** The parts of a reply: collected, recorded piece by piece, and found again of one that was interrupted. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { createLLM, createSession, sqliteStore } from 'convoke'
import { registerProvider } from 'convoke/provider'
import type { ConvokeError, StreamChunk } from 'convoke'
import type { ProviderChunk } from 'convoke/provider'
import { test, vi } from 'vitest'
import { responseBuilderFor } from '../../src/response/response-builder.ts'
import { Recorder } from '../../src/session/recorder.ts'
import { folderFor, user } from '../support/store-kit.ts'

type Chunk = Extract<ProviderChunk, { type: 'text' | 'reasoning' | 'tool-call' }>

const text = (content: string, more: object = {}): Chunk => ({ type: 'text', content, ...more })
const thought = (reasoning: string, more: object = {}): Chunk => ({
  type: 'reasoning',
  content: '',
  reasoning,
  ...more,
})
const call = (id: string): Chunk => ({
  type: 'tool-call',
  content: '',
  toolCall: { id, name: 'clock', arguments: { at: [1, null] } },
})

const streams: Chunk[][] = [
  [thought('Let '), thought('me'), thought('', { signature: 's1' }), thought('see'), text('Hel'), text('lo')],
  [thought('a'), thought('', { redacted: true, signature: 'r1' }), thought('b'), thought('c'), text('x')],
  [thought('', { redacted: true, signature: 'r1' }), thought('', { redacted: true, signature: 'r2' })],
  [
    thought('a', { id: '1' }),
    thought('b'),
    thought('c', { id: '2' }),
    thought('d', { id: '1' }),
    thought('e'),
  ],
  [
    thought('a'),
    thought('b', { id: '1' }),
    thought('c', { id: '1', signature: 's' }),
    thought('d', { id: '1' }),
  ],
  [thought('', { id: '1' }), thought('', { id: '2' }), thought('', { id: '2', signature: 's' }), call('c0')],
  [text('a'), text('b', { signature: 's' }), text('c'), text('', { signature: 't' }), text('d'), call('c1')],
  [text('\u{1F642} a\uD83D'), text('\uDE42 b'), call('c1'), call('c2'), thought('\uD83D'), thought('\uDE42')],
  [text(''), thought('a'), text(''), thought('b'), text('c'), text(''), text('d')],
]

/** Half a character cannot be stored, and waits for the other one. */
const endsInHalf = (chunk: Chunk | undefined) =>
  /[\uD800-\uDBFF]$/.test(chunk?.type === 'reasoning' ? chunk.reasoning : (chunk?.content ?? ''))

function collected(chunks: readonly Chunk[]) {
  const builder = responseBuilderFor('p', {
    model: 'm',
    messages: [],
    connectMs: 1,
    idleMs: 1,
    warn: () => {},
  })
  for (const chunk of chunks) builder.add(chunk)
  const timing = { firstChunkMs: 0, totalMs: 0, attempts: 1 }
  return builder.response('error', { timing, warnings: [] }).message.content
}

test('reasoning that was withheld, signed or has another id is a part of its own', () => {
  const provider = 'p'
  const reasoning = (text: string, more: object = {}) => ({ type: 'reasoning', text, provider, ...more })
  assert.deepEqual(streams.slice(1, 5).map(collected), [
    [
      reasoning('a'),
      reasoning('', { redacted: true, signature: 'r1' }),
      reasoning('bc'),
      { type: 'text', text: 'x' },
    ],
    [reasoning('', { redacted: true, signature: 'r1' }), reasoning('', { redacted: true, signature: 'r2' })],
    [reasoning('ab', { id: '1' }), reasoning('c', { id: '2' }), reasoning('de', { id: '1' })],
    [reasoning('abc', { id: '1', signature: 's' }), reasoning('d', { id: '1' })],
  ])
})

test('what is found of an interrupted reply is what would have been collected of it, wherever it was cut and written', async (t) => {
  const path = `${folderFor(t)}/chat.db`
  const store = sqliteStore({ path })
  t.onTestFinished(() => store.close())
  await store.open({ id: 's' })
  const wanted = new Map<string, unknown>()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  for (const [number, chunks] of streams.entries()) {
    for (let cut = 1; cut <= chunks.length; cut++) {
      if (endsInHalf(chunks[cut - 1])) continue
      // Each way to write it in two deltas, and one for each chunk.
      for (let flush = 0; flush <= cut; flush++) {
        const sessionId = `${number} ${cut} ${flush}`
        const replyId = `reply ${sessionId}`
        await store.open({ id: sessionId })
        await store.beginTurn({
          sessionId,
          replyId,
          messages: [user(`q ${sessionId}`)],
          writer: store.writer,
        })
        const recorder = new Recorder(store, replyId, () => 'p')
        for (const [at, chunk] of chunks.slice(0, cut).entries()) {
          // A sign of life is not delivered.
          if (chunk.type !== 'text' || chunk.content || chunk.signature) recorder.add(chunk as StreamChunk)
          if (flush !== 0 && at + 1 !== flush) continue
          vi.advanceTimersByTime(200)
          await store.find(sessionId)
        }
        vi.advanceTimersByTime(200)
        await store.find(sessionId)
        vi.advanceTimersByTime(200)
        await recorder.end()
        wanted.set(sessionId, collected(chunks.slice(0, cut)))
      }
    }
  }
  vi.useRealTimers()
  for (const [id, parts] of wanted) {
    const reply = (await store.readMessages(id)).at(-1)
    assert.equal(reply?.status, 'streaming')
    assert.deepEqual(reply.content, parts, `while it streams: ${id}`)
  }
  await store.close()
  await using later = sqliteStore({ path })
  for (const [id, parts] of wanted) {
    const reply = (await later.readMessages(id)).at(-1)
    assert.equal(reply?.status, 'interrupted')
    assert.deepEqual(reply.content, parts, `interrupted: ${id}`)
  }
})

registerProvider('thinker', () => ({
  name: 'thinker',
  async *stream(): AsyncGenerator<ProviderChunk, void, void> {
    yield { type: 'start', content: '' }
    for (const [at, chunk] of streams.flat().entries()) {
      if (at % 9 === 8) await pause(230)
      yield chunk
    }
    await pause(900)
    throw new TypeError('the vendor broke')
  },
}))

test('of a stream that breaks, what is on disk meanwhile, what is kept and error.partial are the same', async (t) => {
  const llm = createLLM('thinker/m', { retry: { attempts: 1 } })
  await using session = createSession(llm, { store: `${folderFor(t)}/chat.db` })
  const stream = session.stream('Think')
  const rest = streams.flat().filter((chunk) => chunk.type !== 'text' || chunk.content || chunk.signature)
  let left = rest.length
  const read = async () => {
    for await (const { type } of stream) {
      if (type === 'start' || --left > 0) continue
      await pause(450)
      const [, reply] = await session.history()
      assert.equal(reply?.status, 'streaming')
      assert.deepEqual(reply.content, stream.partial.message.content)
    }
  }
  const error = await read().catch((reason: ConvokeError) => reason)
  assert.equal(error?.code, 'malformed_response')
  const [, reply] = await session.history()
  assert.equal(reply?.status, 'failed')
  assert.deepEqual(reply.content, error.partial?.message.content)
  assert.ok(reply.content.length > 20)
})
