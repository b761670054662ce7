/** A vendor is down: the retries of its callers do not become a storm. */
import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'
import { openLLM, vendors } from './vendors.ts'

const calls = 1_000
const mostRequests = 1_100

for (const vendor of vendors) {
  test(`${vendor}: ${calls} calls against a vendor that is down send at most ${mostRequests} requests`, async (t) => {
    await using simulator = await startSimulator({ fault: { status: 503 } })
    await using llm = openLLM(vendor, simulator.url, {
      maxConcurrent: 50,
      maxQueue: Infinity,
      retry: { minDelayMs: 1, maxDelayMs: 20 },
    })
    let attempts = 0
    await Promise.all(
      Array.from({ length: calls }, async (_, at) => {
        const call = at % 2 ? llm.agenerate(`call ${at}`) : llm.stream(`call ${at}`).response
        const error: unknown = await call.then(
          () => assert.fail('a success'),
          (reason: unknown) => reason,
        )
        assert.ok(isConvokeError(error))
        assert.deepEqual([error.code, error.status], ['overloaded', 503])
        attempts += error.attempts
      }),
    )
    const requests = simulator.requests.length
    await t.annotate(`${vendor}: ${calls} calls answered 503, ${requests} requests`)
    assert.ok(requests >= calls && requests <= mostRequests, `${requests} requests`)
    assert.equal(attempts, requests)
  })
}
