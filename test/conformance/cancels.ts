/** Calls that are cancelled: by a signal, by `.cancel()`, or by leaving the loop. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import type { LLM } from 'convoke'
import { all, failure, plain, play, until } from './stage.ts'
import type { Cases, Subject } from './stage.ts'

export function cancels(subject: Subject): Cases {
  const long = { reply: { text: plain.repeat(20) }, paceMs: 10 }
  /** Ends a stream in one of the ways, and checks the error, the socket and the listeners afterwards. */
  const cancelled =
    (end: (stream: ReturnType<LLM['stream']>, controller: AbortController) => Promise<void>) => () =>
      play(subject, long, async ({ llm, requests }) => {
        const controller = new AbortController()
        const stream = llm.stream('Hi', { signal: controller.signal })
        await end(stream, controller)
        const error = await failure(stream.response)
        assert.equal(error.code, 'cancelled')
        assert.equal(error.partial?.finishReason, 'cancelled')
        assert.ok(error.partial.content.length > 0 && plain.repeat(20).startsWith(error.partial.content))
        assert.ok(error.partial.usage.outputTokens > 0)
        await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
        assert.deepEqual(llm.activity, { running: 0, queued: 0 })
        assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
      })
  return [
    [
      'a signal cancels: the loop throws, the socket closes, no listener stays',
      cancelled(async (stream, controller) => {
        const error = await failure(
          (async () => {
            for await (const { content } of stream) if (content) controller.abort()
          })(),
        )
        assert.equal(error.code, 'cancelled')
      }),
    ],
    [
      '.cancel() cancels: the loop throws, the socket closes',
      cancelled(async (stream) => {
        const error = await failure(
          (async () => {
            for await (const { content } of stream) if (content) stream.cancel('enough')
          })(),
        )
        assert.match(error.message, /enough/)
      }),
    ],
    [
      'leaving the loop cancels: the socket closes',
      cancelled(async (stream) => {
        for await (const { content } of stream) if (content) break
      }),
    ],
    [
      'a signal that was aborted before sends nothing',
      () =>
        play(subject, long, async ({ llm, requests }) => {
          const signal = AbortSignal.abort()
          assert.equal((await failure(llm.agenerate('Hi', { signal }))).code, 'cancelled')
          assert.equal((await failure(all(llm.stream('Hi', { signal })))).code, 'cancelled')
          assert.equal(requests().length, 0)
        }),
    ],
    [
      'a plain call is cancelled too',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ latencyMs: 5_000 }] },
          async ({ llm, requests }) => {
            const controller = new AbortController()
            const call = llm.agenerate('Hi', { signal: controller.signal })
            await until(() => requests().length === 1, 'the request arrived')
            controller.abort()
            assert.equal((await failure(call)).code, 'cancelled')
            await until(() => requests()[0]?.isClosedByClient === true, 'the socket was closed')
          },
        ),
    ],
  ]
}
