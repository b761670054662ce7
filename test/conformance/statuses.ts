/** HTTP statuses, retries, and the contents of errors. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import type { ErrorCode } from 'convoke'
import { failure, plain, play, quick, secretKey } from './stage.ts'
import type { Cases, Subject } from './stage.ts'

export function statuses(subject: Subject): Cases {
  const codes: [status: number, code: ErrorCode, isRetryable: boolean][] = [
    [400, 'invalid_request', false],
    [401, 'authentication', false],
    [403, 'permission', false],
    [404, 'model_not_found', false],
    [429, 'rate_limited', true],
    [500, 'server_error', true],
    [503, 'overloaded', true],
    [529, 'overloaded', true],
  ]
  return [
    ...codes.map(([status, code, isRetryable]): Cases[number] => [
      `status ${status} is ${code}, with the wait that the vendor asked for`,
      () =>
        play(
          subject,
          {
            reply: { text: plain },
            faults: [
              { status, retryAfter: 7 },
              { status, retryAfter: 7 },
            ],
          },
          async ({ llm }) => {
            for (const call of [llm.agenerate('Hi', quick), llm.stream('Hi', quick).response]) {
              const error = await failure(call)
              assert.equal(error.code, code)
              assert.equal(error.status, status)
              assert.equal(error.isRetryable, isRetryable)
              assert.equal(error.retryAfterMs, 7_000)
              assert.equal(error.provider, llm.provider)
              assert.equal(error.attempts, 1)
            }
          },
        ),
    ]),
    [
      'a reset before the headers, and a busy vendor, are tried again',
      () =>
        play(
          subject,
          {
            reply: { text: plain },
            faults: [{ reset: true }, { status: 503 }],
          },
          async ({ llm, requests }) => {
            const retry = { minDelayMs: 1 }
            const reply = await llm.agenerate('Hi', { retry })
            assert.equal(reply.content, plain)
            assert.equal(reply.timing.attempts, 3)
            assert.equal(requests().length, 3)
          },
        ),
    ],
    [
      'no key shows in an error or in inspect, even when the vendor echoes it',
      () =>
        play(
          subject,
          { reply: { text: plain }, faults: [{ status: 401, message: `Incorrect API key: ${secretKey}` }] },
          async ({ llm }) => {
            const error = await failure(llm.agenerate('Hi'))
            const shown = inspect([error, llm], { depth: 12, showHidden: true }) + JSON.stringify(error)
            assert.ok(!shown.includes(secretKey), shown)
            assert.match(error.message, /redacted/)
          },
        ),
    ],
  ]
}
