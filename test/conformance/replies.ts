/** Complete replies, with and without streaming. */
import assert from 'node:assert/strict'
import { all, plain, play } from './stage.ts'
import type { Cases, Subject } from './stage.ts'

/** Text that has broken SDKs: terminators, SSE fields, line ends, and characters that are split between events. */
const awkward =
  'a [DONE] data: {"x":1}\n\ndata: [DONE]\n: note\r\nevent: end\u2028\u2029\u0000\u0085\ufeff 😀👩‍👩‍👧 é 漢字 \\n "q" '
export function replies(subject: Subject): Cases {
  return [
    [
      'a stream is one start, its text, and one finish; a plain call gives the same reply',
      () =>
        play(
          subject,
          { reply: { text: plain, usage: { inputTokens: 12, outputTokens: 34 } } },
          async ({ llm }) => {
            const stream = llm.stream('Hi')
            const chunks = await all(stream)
            const types = chunks.map(({ type }) => type)
            assert.equal(types[0], 'start')
            assert.equal(types.at(-1), 'finish')
            assert.deepEqual(new Set(types.slice(1, -1)), new Set(['text']))
            const streamed = await stream.response
            const whole = await llm.agenerate('Hi')
            assert.equal(chunks.map(({ content }) => content).join(''), plain)
            for (const reply of [streamed, whole]) {
              assert.equal(reply.content, plain)
              assert.equal(reply.finishReason, 'stop')
              assert.ok(reply.rawFinishReason)
              const { inputTokens, outputTokens, totalTokens, source } = reply.usage
              assert.deepEqual([inputTokens, outputTokens, totalTokens, source], [12, 34, 46, 'provider'])
              assert.equal(reply.timing.attempts, 1)
              assert.deepEqual(reply.message.content, [{ type: 'text', text: plain }])
            }
          },
        ),
    ],
    [
      'text comes through byte for byte, however small its pieces',
      () =>
        play(subject, { reply: { text: awkward, chunkSize: 1 } }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi').response).content, awkward)
          assert.equal((await llm.agenerate('Hi')).content, awkward)
        }),
    ],
    [
      'a reply that hits its limit says so',
      () =>
        play(subject, { reply: { text: plain, finishReason: 'length' } }, async ({ llm }) => {
          assert.equal((await llm.stream('Hi').response).finishReason, 'length')
          assert.equal((await llm.agenerate('Hi')).finishReason, 'length')
        }),
    ],
    [
      'what `vendor` holds reaches the wire untouched',
      () =>
        play(subject, { reply: { text: plain } }, async ({ llm, requests }) => {
          await llm.agenerate('Hi', { vendor: { convoke_marker: { a: [1] } } })
          await llm.stream('Hi', { vendor: { convoke_marker: { a: [1] } } }).response
          for (const { body } of requests()) {
            assert.deepEqual((body as Record<string, unknown>)['convoke_marker'], { a: [1] })
          }
        }),
    ],
    [
      'fifty streams at once all arrive whole',
      () =>
        play(
          subject,
          { reply: { text: plain }, paceMs: 1 },
          async ({ llm }) => {
            const replies = await Promise.all(Array.from({ length: 50 }, () => llm.stream('Hi').response))
            assert.deepEqual(new Set(replies.map(({ content }) => content)), new Set([plain]))
            assert.deepEqual(llm.activity, { running: 0, queued: 0 })
          },
          { maxConcurrent: 50 },
        ),
    ],
  ]
}
