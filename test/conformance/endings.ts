/** Replies that break, in every way and at the start, in the middle and at the end. */
import assert from 'node:assert/strict'
import type { ErrorCode, StreamChunk } from 'convoke'
import type { Fault } from 'convoke/simulator'
import { all, failure, plain, play, quick, until } from './stage.ts'
import type { Cases, Subject } from './stage.ts'

/** The shares of the reply's events after which a fault strikes. */
const places = { start: 0, middle: 0.5, end: 1 }

export function endings(subject: Subject): Cases {
  const broken: [name: string, fault: keyof Fault, ...codes: ErrorCode[]][] = [
    ['a clean end without the terminal event', 'endAfter', 'stream_truncated'],
    ['a reset connection', 'cutAfter', 'stream_truncated'],
    ['a junk event', 'junkAfter', 'malformed_response'],
    ['a stream that stands still', 'stallAfter', 'timeout'],
    // Error events of Cohere and Ollama have no type, so their code is less exact.
    ["the vendor's own error event", 'errorAfter', 'overloaded', 'server_error'],
  ]
  const streamed = broken.flatMap(([name, fault, ...codes]) =>
    Object.entries(places).map(([place, share]): Cases[number] => [
      `${name} at the ${place} of a stream is ${codes.join(' or ')}, with what had arrived`,
      () => breakStream(subject, { [fault]: share }, codes, share),
    ]),
  )
  return [
    ...streamed,
    [
      'comments between events are nothing',
      () =>
        play(subject, { reply: { text: plain }, faults: [{ comments: true }] }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi', quick).response).content, plain)
        }),
    ],
    [
      'a plain reply that breaks off or is no JSON is an error',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ cutAfter: 0.5 }, { endAfter: 0.5 }, { junkAfter: 0.5 }] },
          async ({ llm }) => {
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'stream_truncated')
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'stream_truncated')
            assert.equal((await failure(llm.agenerate('Hi', quick))).code, 'malformed_response')
          },
        ),
    ],
    [
      'a broken stream is tried again while nothing was delivered, and restarted only when asked',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ endAfter: 0 }, { endAfter: 0.6 }, { endAfter: 0.6 }] },
          async ({ llm }) => {
            const retry = { minDelayMs: 1 }
            assert.equal((await failure(all(llm.stream('Hi', { retry })))).code, 'stream_truncated')
            const chunks = await all(llm.stream('Hi', { retry: { ...retry, replay: 'restart' } }))
            const from = chunks.findIndex(({ type }) => type === 'reset')
            assert.ok(from > 0)
            assert.equal(
              chunks
                .slice(from)
                .map(({ content }) => content)
                .join(''),
              plain,
            )
          },
        ),
    ],
  ]
}

async function breakStream(subject: Subject, fault: Fault, codes: ErrorCode[], share: number): Promise<void> {
  await play(subject, { reply: { text: plain }, faults: [fault] }, async ({ llm, requests }) => {
    // Only a stalled stream gets a short time-out, because a busy machine would exceed it in the other cases.
    const isStalled = codes.includes('timeout')
    const timeouts = {
      ...(isStalled && share === 0 ? { firstChunkMs: 150 } : {}),
      ...(isStalled && share > 0 ? { idleMs: 150 } : {}),
    }
    const chunks: StreamChunk[] = []
    const stream = llm.stream('Hi', { ...quick, timeouts })
    const error = await failure(
      (async () => {
        for await (const chunk of stream) chunks.push(chunk)
      })(),
    )
    const { code } = error
    assert.ok(codes.includes(code), error.message)
    assert.equal(chunks.filter(({ type }) => type === 'finish').length, 0)
    const seen = chunks.map(({ content }) => content).join('')
    assert.equal(error.partial?.content, seen)
    assert.ok(plain.startsWith(seen) && (share > 0 || seen === '') && (share === 0 || seen !== ''), seen)
    assert.equal(error.partial?.finishReason, 'error')
    assert.equal(error.partial?.usage.source, 'estimated')
    if (code === 'timeout') assert.equal(error.phase, share === 0 ? 'firstChunk' : 'idle')
    assert.equal((await failure(stream.response)).code, code)
    if (code === 'timeout')
      await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  })
}
