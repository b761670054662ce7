/** balance, through the vendors' own SDKs against the simulator. */
import assert from 'node:assert/strict'
import { balance, createLLM, createSession } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator, SimulatorOptions } from 'convoke/simulator'
import { test } from 'vitest'
import type { TestContext } from 'vitest'
import { failure, pair, pause, read, thrown } from '../support/combinators-kit.ts'
import { connect, path, simulator as strict } from '../support/session-kit.ts'

/** LLMs of one vendor that differ in their key alone. */
async function keys(
  context: TestContext,
  names: string[],
  simulated: SimulatorOptions = {},
  options: LLMOptions = {},
): Promise<{ simulator: Simulator; llms: LLM[]; asked: () => string[] }> {
  const simulator = await startSimulator({ reply: 'yes', ...simulated })
  const baseURL = simulator.baseURL('openai')
  const llms = names.map((apiKey) =>
    createLLM('openai', { model: 'm', apiKey, baseURL, retry: { attempts: 1 }, ...options }),
  )
  context.onTestFinished(async () => {
    for (const llm of llms) await llm.close()
    await simulator.close()
  })
  const keyOf = ({ authorization = '' }: Record<string, string>) => authorization.replace('Bearer ', '')
  return { simulator, llms, asked: () => simulator.requests.map(({ headers }) => keyOf(headers)) }
}

test('round-robin asks one after the other, over keys of one vendor', async (t) => {
  const { llms, asked } = await keys(t, ['k1', 'k2', 'k3'])
  const llm = balance(llms)
  assert.deepEqual([llm.provider, llm.model], ['openai', 'm'])
  for (let at = 0; at < 6; at++) await llm.agenerate('Hi')
  assert.deepEqual(asked(), ['k1', 'k2', 'k3', 'k1', 'k2', 'k3'])
})

test('a key that answers 429 is left alone for as long as it says; its call goes on at once', async (t) => {
  // Its own retries would wait as well.
  const { simulator, llms, asked } = await keys(t, ['k1', 'k2'], {}, { retry: { attempts: 3 } })
  simulator.failNext({ status: 429, retryAfter: 3 })
  const llm = balance(llms)
  const reply = await llm.agenerate('Hi')
  assert.deepEqual(
    reply.otherAttempts?.map(({ code }) => code),
    ['rate_limited'],
  )
  for (let at = 0; at < 3; at++) await llm.agenerate('Hi')
  assert.deepEqual(asked(), ['k1', 'k2', 'k2', 'k2', 'k2'])
  await pause(3_100)
  await llm.agenerate('Hi')
  await llm.agenerate('Hi')
  assert.deepEqual(asked().slice(5).sort(), ['k1', 'k2'])
})

test('without a word on how long, a 429 cools down for cooldownMs', async (t) => {
  const { simulator, llms, asked } = await keys(t, ['k1', 'k2'])
  const llm = balance(llms, { cooldownMs: 1_000 })
  simulator.failNext({ status: 429 })
  for (let at = 0; at < 3; at++) await llm.agenerate('Hi')
  assert.deepEqual(asked(), ['k1', 'k2', 'k2', 'k2'])
  await pause(1_010)
  await llm.agenerate('Hi')
  await llm.agenerate('Hi')
  assert.ok(asked().slice(4).includes('k1'))
})

test('when all cool down, a call waits for the first to be ready, and its signal ends the wait', async (t) => {
  const { simulator, llms, asked } = await keys(t, ['k1', 'k2'])
  const llm = balance(llms, { cooldownMs: 1_000 })
  simulator.failNext({ status: 429 }, 2)
  assert.equal((await failure(llm.agenerate('Hi'))).code, 'rate_limited')
  const cooledAtMs = performance.now()
  const cancelled = failure(llm.agenerate('Hi', { signal: AbortSignal.timeout(50) }))
  const reply = llm.agenerate('Hi')
  assert.equal((await cancelled).code, 'cancelled')
  assert.equal(asked().length, 2)
  assert.equal((await reply).content, 'yes')
  // A busy machine is late, never early.
  assert.ok(performance.now() - cooledAtMs >= 950)
  assert.equal(asked().length, 3)
})

test('a rest that is too long for a call is told, with its length, and nothing is sent', async (t) => {
  const { simulator, llms } = await keys(t, ['k1', 'k2'])
  const llm = balance(llms)
  simulator.failNext({ status: 429, retryAfter: 90 }, 2)
  await failure(llm.agenerate('Hi'))
  const error = await failure(llm.agenerate('Hi'))
  assert.equal(error.code, 'rate_limited')
  assert.match(error.message, /All 2 LLMs cool down\. The first is ready in (89|90) s/)
  assert.ok((error.retryAfterMs ?? 0) > 85_000)
  assert.equal(simulator.requests.length, 2)
  simulator.failNext({ status: 429, retryAfter: 5 }, 2)
  const brief = balance(llms)
  await failure(brief.agenerate('Hi'))
  const short = await failure(brief.stream('Hi', { timeouts: { totalMs: 1_000 } }).response)
  assert.deepEqual([short.code, simulator.requests.length], ['rate_limited', 4])
})

test('a key that is refused is avoided, not waited for', async (t) => {
  const { simulator, llms, asked } = await keys(t, ['bad', 'good'], { apiKey: 'good' })
  const llm = balance(llms)
  for (let at = 0; at < 4; at++) assert.equal((await llm.agenerate('Hi')).content, 'yes')
  assert.deepEqual(asked(), ['bad', 'good', 'good', 'good', 'good'])
  simulator.reset()
  const alone = balance(llms.slice(0, 1), { cooldownMs: 3_600_000 })
  for (let at = 0; at < 2; at++) assert.equal((await failure(alone.agenerate('Hi'))).code, 'authentication')
})

test('least-busy asks who has the fewest calls, its other callers counted', async (t) => {
  const { llms, asked } = await keys(t, ['k1', 'k2'], { latencyMs: 100 })
  const others = [1, 2, 3].map(() => (llms[0] as LLM).agenerate('Hi'))
  await pause(40)
  const llm = balance(llms, { strategy: 'least-busy' })
  assert.equal(llm.activity.running, 3)
  const mine = [1, 2, 3].map(() => llm.agenerate('Hi'))
  await Promise.all([...others, ...mine])
  assert.deepEqual(asked().slice(3), ['k2', 'k2', 'k2'])
  // Calls of one moment do not show in anyone's activity yet.
  await Promise.all([1, 2, 3, 4].map(() => llm.agenerate('Hi')))
  assert.deepEqual(asked().slice(6).sort(), ['k1', 'k1', 'k2', 'k2'])
})

test('weighted spreads by weight, random evenly', async (t) => {
  const { simulator, llms, asked } = await keys(t, ['k1', 'k2'], {}, { maxConcurrent: 100 })
  const shareOfFirst = async (llm: LLM) => {
    simulator.reset()
    await Promise.all(Array.from({ length: 400 }, () => llm.agenerate('Hi')))
    return asked().filter((key) => key === 'k1').length / 400
  }
  // Six standard deviations.
  const weighted = await shareOfFirst(balance(llms, { strategy: 'weighted', weights: [4, 1] }))
  assert.ok(weighted > 0.68 && weighted < 0.92, `${weighted}`)
  const even = await shareOfFirst(balance(llms, { strategy: 'random' }))
  assert.ok(even > 0.35 && even < 0.65, `${even}`)
})

test('other errors go to another LLM after the own retries, with nothing visible; not with on: []', async (t) => {
  const { a, b } = await pair(t, { fault: { status: 500 } })
  assert.equal((await balance([a.llm, b.llm]).agenerate('Hi')).provider, 'anthropic')
  assert.equal((await read(balance([a.llm, b.llm]).stream('Hi'))).text, 'from anthropic')
  const error = await failure(balance([a.llm, b.llm], { on: [] }).agenerate('Hi'))
  assert.deepEqual([error.code, error.provider], ['server_error', 'openai'])
})

test('what balance cannot use is refused, with the remedy', async (t) => {
  const { a, b } = await pair(t)
  assert.match(thrown(() => balance([])).message, /at least one LLM/)
  assert.match(thrown(() => balance(['openai' as unknown as LLM])).message, /number 1 is "openai"/)
  const llms = [a.llm, b.llm]
  assert.match(thrown(() => balance(llms, { strategy: 'fastest' as 'random' })).message, /round-robin/)
  assert.match(
    thrown(() => balance(llms, { strategy: 'weighted', weights: [1] })).message,
    /each of the 2 LLMs/,
  )
  assert.match(thrown(() => balance(llms, { strategy: 'weighted' })).message, /only with that/)
  assert.match(thrown(() => balance(llms, { stratgy: 'random' } as object)).message, /strategy/)
})

test('a session talks through any of them', async () => {
  strict.setReply('yes')
  const llm = balance([connect('openai'), connect('anthropic'), connect('gemini')])
  await using session = createSession(llm, { store: path() })
  const providers = []
  for (let at = 0; at < 3; at++) providers.push((await session.agenerate(`${at}`)).provider)
  assert.deepEqual(providers, ['openai', 'anthropic', 'gemini'])
  assert.equal((await read(session.stream('Hi'))).text, 'yes')
  assert.equal(strict.requests.at(-1)?.messages.length, 7)
})
