/** Combined LLMs: the trouble of one vendor reaches neither the caller nor, as a storm, another vendor. */
import assert from 'node:assert/strict'
import { balance, fallback, hedge, isConvokeError } from 'convoke'
import type { GenerateOptions, LLM } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Fault } from 'convoke/simulator'
import { test } from 'vitest'
import { openLLM, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

const calls = 1_000
const mostRequests = 1_100
const quick = { maxConcurrent: 50, maxQueue: Infinity, retry: { minDelayMs: 1, maxDelayMs: 20 } }
const nextTo = (vendor: Vendor) => vendors[(vendors.indexOf(vendor) + 1) % vendors.length] as Vendor

/** Makes many calls at once, half of them streams, and returns the outcome of each. */
function ask(llm: LLM, options: GenerateOptions = {}): Promise<PromiseSettledResult<string>[]> {
  return Promise.allSettled(
    Array.from({ length: calls }, async (_, at) => {
      if (at % 2) return (await llm.agenerate(`call ${at}`, options)).content
      let text = ''
      for await (const { type, content } of llm.stream(`call ${at}`, options)) {
        text = type === 'reset' ? '' : text + content
      }
      return text
    }),
  )
}

const successes = (results: PromiseSettledResult<string>[]) =>
  results.filter((result, at) => result.status === 'fulfilled' && result.value === `You said: call ${at}`)
    .length

for (const vendor of vendors) {
  const other = nextTo(vendor)
  test(`${vendor} answers 500, ${other} works: at least 99.9 % of ${calls} calls succeed`, async (t) => {
    await using a = await startSimulator({ fault: { status: 500 } })
    await using b = await startSimulator({ reply: ({ prompt }) => `You said: ${prompt}` })
    await using first = openLLM(vendor, a.url, quick)
    await using second = openLLM(other, b.url, quick)
    const count = successes(await ask(fallback([first, second])))
    await t.annotate(
      `${count} of ${calls} succeeded; ${a.requests.length} requests to ${vendor}, ${b.requests.length} to ${other}`,
    )
    assert.ok(count >= calls * 0.999)
    assert.ok(a.requests.length <= mostRequests)
  })

  test(`${vendor} fails one time in two, in every way: with replay 'restart' every reply is whole and right`, async (t) => {
    const faults: Fault[] = [
      { status: 500 },
      { status: 429 },
      { reset: true },
      { cutAfter: 0.5 },
      { endAfter: 0.9 },
      { errorAfter: 0.3 },
      { stallAfter: 0.5 },
      { junkAfter: 0.5 },
    ]
    const fault = ({ number }: { number: number }) =>
      number % 2 ? faults[(number >> 1) % faults.length] : undefined
    const reply = ({ prompt }: { prompt: string }) => `You said: ${prompt}`
    await using a = await startSimulator({ fault, reply })
    await using b = await startSimulator({ reply })
    const options = {
      ...quick,
      timeouts: { idleMs: 1_500 },
      retry: { attempts: 1, replay: 'restart' as const },
    }
    await using first = openLLM(vendor, a.url, options)
    await using second = openLLM(other, b.url, options)
    const count = successes(await ask(fallback([first, second], { replay: 'restart' })))
    await t.annotate(
      `${count} of ${calls} whole and right; ${a.requests.length} + ${b.requests.length} requests`,
    )
    assert.ok(count >= calls * 0.999)
    assert.equal(a.openStreams + b.openStreams, 0)
  })
}

test('an open circuit adds less than 5 ms at p95', async (t) => {
  await using a = await startSimulator({ fault: { status: 500 } })
  await using b = await startSimulator({ latencyMs: 5 })
  const circuitBreaker = { failures: 3, cooldownMs: 600_000 }
  await using first = openLLM('openai', a.url, { ...quick, circuitBreaker })
  await using second = openLLM('anthropic', b.url, quick)
  const llm = fallback([first, second])
  for (let at = 0; at < 20; at++) await llm.agenerate('warm up')
  const sent = a.requests.length
  const elapsed = { through: [] as number[], alone: [] as number[] }
  for (let at = 0; at < 400; at++) {
    for (const [name, subject] of [
      ['through', llm],
      ['alone', second],
    ] as const) {
      const startedAtMs = performance.now()
      await subject.agenerate(`call ${at}`)
      elapsed[name].push(performance.now() - startedAtMs)
    }
  }
  const p95 = (values: number[]) =>
    values.sort((one, two) => one - two)[Math.floor(values.length * 0.95)] as number
  const [through, alone] = [p95(elapsed.through), p95(elapsed.alone)]
  await t.annotate(
    `p95 ${through.toFixed(2)} ms through the open circuit, ${alone.toFixed(2)} ms without: ${(through - alone).toFixed(2)} ms more`,
  )
  assert.ok(through - alone < 5)
  assert.equal(a.requests.length, sent)
})

test('after the cool-down one request probes, whatever else is asked meanwhile', async (t) => {
  await using a = await startSimulator({ fault: { status: 500 } })
  await using b = await startSimulator()
  const circuitBreaker = { failures: 3, cooldownMs: 500 }
  await using first = openLLM('openai', a.url, { ...quick, circuitBreaker, retry: { attempts: 1 } })
  await using second = openLLM('anthropic', b.url, quick)
  const llm = fallback([first, second])
  for (let at = 0; at < 5; at++) await llm.agenerate('Hi')
  assert.equal(a.requests.length, 3)
  await new Promise((resolve) => setTimeout(resolve, 520))
  const replies = await Promise.all(Array.from({ length: 100 }, () => llm.agenerate('Hi')))
  await t.annotate(`${a.requests.length - 3} probe for ${replies.length} calls`)
  assert.equal(a.requests.length, 4)
  assert.ok(replies.every(({ provider }) => provider === 'anthropic'))
})

const storms: Record<string, (a: LLM, b: LLM) => LLM> = {
  fallback: (a, b) => fallback([a, b]),
  'fallback, restart': (a, b) => fallback([a, b], { replay: 'restart' }),
  hedge: (a, b) => hedge([a, b], { afterMs: 5 }),
  balance: (a, b) => balance([a, b]),
  'least-busy balance of fallbacks': (a, b) =>
    balance([fallback([a, b]), fallback([b, a])], { strategy: 'least-busy', on: [] }),
}
for (const [name, make] of Object.entries(storms)) {
  test(`${name}: ${calls} calls against vendors that are down send each at most ${mostRequests} requests`, async (t) => {
    await using a = await startSimulator({ fault: { status: 503 } })
    await using b = await startSimulator({ fault: { status: 503 } })
    await using first = openLLM('openai', a.url, quick)
    await using second = openLLM('gemini', b.url, quick)
    const results = await ask(make(first, second))
    for (const result of results) {
      assert.ok(result.status === 'rejected' && isConvokeError(result.reason))
      assert.deepEqual([result.reason.code, result.reason.status], ['overloaded', 503])
    }
    const sent = [a.requests.length, b.requests.length]
    await t.annotate(`${calls} calls answered 503: ${sent.join(' and ')} requests`)
    assert.ok(
      sent.every((requests) => requests <= mostRequests),
      sent.join(),
    )
    // The last error counts all requests of the call.
    const attempts = results.reduce(
      (sum, result) => sum + ((result as PromiseRejectedResult).reason as { attempts: number }).attempts,
      0,
    )
    assert.equal(attempts, (sent[0] as number) + (sent[1] as number))
  })
}

for (const vendor of vendors) {
  test(`${vendor}: the sockets of hedges that lost are closed within 250 ms, their cost told`, async (t) => {
    await using a = await startSimulator({ latencyMs: 10_000 })
    await using b = await startSimulator()
    await using first = openLLM(vendor, a.url, { maxConcurrent: 200 })
    await using second = openLLM(nextTo(vendor), b.url, { maxConcurrent: 200 })
    const llm = hedge([first, second], { afterMs: 500 })
    const wonAtMs = new Map<string, number>()
    await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const { otherAttempts } = await (at % 2
          ? llm.agenerate(`call ${at}`)
          : llm.stream(`call ${at}`).response)
        assert.deepEqual([otherAttempts?.length, otherAttempts?.[0]?.code], [1, 'cancelled'])
        assert.ok((otherAttempts?.[0]?.usage.inputTokens ?? 0) > 0)
        wonAtMs.set(`call ${at}`, performance.now())
      }),
    )
    while (a.openStreams > 0 || a.requests.some(({ endedAt }) => endedAt === undefined)) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const last = Math.max(
      ...a.requests.map(({ prompt, endedAt = Infinity }) => endedAt - (wonAtMs.get(prompt) ?? 0)),
    )
    await t.annotate(
      `the latest of ${a.requests.length} sockets was closed ${last.toFixed(1)} ms after its call was over`,
    )
    assert.ok(last < 250)
    assert.ok(a.requests.every(({ outcome }) => outcome === 'client-closed'))
    assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  })
}
