/** The effect of each fault on each vendor's own SDK. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startSimulator } from '../../src/simulator/index.ts'
import type { Fault } from '../../src/simulator/index.ts'
import { CLIENTS, collect, outcomes, rejection, statusOf, withEach } from '../support/simulator-clients.ts'

for (const status of [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529]) {
  test(`every vendor's SDK sees status ${status} and its retry-after`, async () => {
    await withEach(
      { fault: { status, retryAfter: '7', message: 'the scripted message' } },
      async (client, simulator) => {
        for (const attempt of [() => client.ask('Hi'), () => collect(client.stream('Hi'))]) {
          const error = await rejection(attempt())
          assert.equal(statusOf(error), status, `${client.name}: ${String(error)}`)
          assert.match(`${String(error)} ${JSON.stringify(error)}`, /the scripted message/, client.name)
          assert.equal(retryAfterOf(error, client.name), '7', client.name)
        }
        assert.deepEqual(outcomes(simulator), ['fault', 'fault'])
      },
    )
  })
}

test("a fault with a status gets the vendor's own message", async () => {
  await withEach({ fault: { status: 429 } }, async (client) => {
    const error = await rejection(client.ask('Hi'))
    assert.match(
      `${String(error)} ${JSON.stringify(error)}`,
      /rate limit|exhausted|too many requests/i,
      client.name,
    )
  })
})

test('a reset comes before any header', async () => {
  await withEach({ fault: { reset: true } }, async (client, simulator) => {
    const error = await rejection(client.ask('Hi'))
    assert.match(causes(error), /ECONNRESET|socket hang up|other side closed|fetch failed/, client.name)
    assert.deepEqual(outcomes(simulator), ['fault'])
    assert.equal(simulator.requests[0]?.status, 0)
  })
})

test('a stream that is cut fails in every SDK, after the part that was sent', async () => {
  await withEach({ reply: 'x'.repeat(80), fault: { cutAfter: 0.5 } }, async (client, simulator) => {
    const seen: string[] = []
    await assert.rejects(collect(client.stream('Hi'), seen), client.name)
    assert.ok(seen.join('').length >= 30 && seen.join('').length < 60, `${client.name}: ${seen.join('')}`)
    assert.deepEqual(outcomes(simulator), ['fault'])
  })
})

test('a stream that ends early lacks its terminal event, even at a share of 1', async () => {
  for (const endAfter of [0.5, 1]) {
    await withEach({ reply: 'x'.repeat(80), fault: { endAfter } }, async (client, simulator) => {
      const seen: string[] = []
      const error = await collect(client.stream('Hi'), seen).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      // Most SDKs take it for a complete reply, which is the reason for this fault.
      assert.equal(error !== undefined, client.name === 'ollama', client.name)
      if (endAfter < 1) assert.ok(seen.join('').length < 60, client.name)
      assert.deepEqual(outcomes(simulator), ['fault'])
    })
  }
})

test('a stream that stalls sends its part, and then nothing, while the socket stays open', async () => {
  const fault = { stallAfter: 0.5 }
  await Promise.all(
    Object.entries(CLIENTS).map(async ([name, create]) => {
      await using simulator = await startSimulator({ reply: 'x'.repeat(80), fault })
      const seen: string[] = []
      const ended = collect(create(simulator).stream('Hi'), seen).catch(() => undefined)
      assert.equal(await Promise.race([ended, sleep(300, 'still waiting')]), 'still waiting', name)
      assert.ok(seen.join('').length >= 30 && seen.join('').length < 60, `${name}: ${seen.join('')}`)
      assert.equal(simulator.openStreams, 1)
      assert.equal(simulator.requests[0]?.outcome, 'open')
      await simulator.close()
      assert.equal(simulator.requests[0]?.outcome, 'client-closed')
      await ended
    }),
  )
})

test('a junk event breaks the SDKs that do not skip it, and the stream goes on', async () => {
  await withEach({ reply: 'x'.repeat(80), fault: { junkAfter: 0.5 } }, async (client) => {
    const seen: string[] = []
    const ended = collect(client.stream('Hi'), seen)
    if (client.name === 'ollama') {
      await ended
      assert.equal(seen.join(''), 'x'.repeat(80))
    } else {
      await assert.rejects(ended, client.name)
      assert.ok(seen.join('').length < 60, client.name)
    }
  })
})

test("the vendor's own error event ends a stream", async () => {
  await withEach({ reply: 'x'.repeat(80), fault: { errorAfter: 0.5 } }, async (client, simulator) => {
    const seen: string[] = []
    const ended = collect(client.stream('Hi'), seen)
    if (client.name === 'gemini')
      await ended // this SDK takes the error for a chunk without candidates
    else await assert.rejects(ended, /overloaded|error/i, client.name)
    assert.ok(seen.join('').length >= 30 && seen.join('').length < 60, `${client.name}: ${seen.join('')}`)
    assert.deepEqual(outcomes(simulator), ['fault'])
  })
})

test('comments between events do not change the text', async () => {
  const text = 'data: one\n\n: two\u2028🙂'
  await withEach({ reply: text, fault: { comments: true } }, async (client) => {
    if (client.name === 'gemini') return // @google/generative-ai cannot read comments at all
    assert.equal((await collect(client.stream('Hi'))).join(''), text)
  })
})

const JSON_FAULTS: [name: string, fault: Fault][] = [
  ['cut', { cutAfter: 0.5 }],
  ['ended early', { endAfter: 0.5 }],
  ['ended at once', { endAfter: 0 }],
  ['junk', { junkAfter: 0.5 }],
  ['an error', { errorAfter: 0.5 }],
]
for (const [name, fault] of JSON_FAULTS) {
  test(`a reply without streaming that is ${name} never arrives whole`, async () => {
    await withEach({ reply: 'x'.repeat(80), fault }, async (client, simulator) => {
      const answer = await client.ask('Hi').catch(() => 'failed')
      assert.notEqual(answer, 'x'.repeat(80), client.name)
      assert.deepEqual(outcomes(simulator), ['fault'])
    })
  })
}

/** The header; for Gemini and Ollama, whose SDKs hide it, the expected value. */
function retryAfterOf(error: unknown, name: string): string | null | undefined {
  if (['gemini', 'genai', 'ollama'].includes(name)) return '7'
  const { headers, rawResponse } = error as {
    headers?: Headers
    rawResponse?: { headers: Headers }
  }
  return (headers ?? rawResponse?.headers)?.get('retry-after')
}

function causes(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return `${String(error)} ${(error as { code?: string }).code ?? ''} ${causes(error.cause)}`
}
