/** Combined LLMs in generate(): they are made again in the thread that runs blocking calls. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { balance, createLLM, createSession, fallback, hedge, withDefaults } from 'convoke'
import type { LLM, LLMOptions } from 'convoke'
import OpenAI from 'openai'
import { afterAll, test } from 'vitest'
import { z } from 'zod'
import { blockingLLM, thrown } from '../support/blocking-kit.ts'
import type { Vendor } from '../support/blocking-kit.ts'
import { simulatorThread } from '../support/simulator-thread.ts'

const good = await simulatorThread({ reply: 'Paris.' })
const down = await simulatorThread({ fault: { status: 500 } })
const slow = await simulatorThread({ latencyMs: 3_000 })
const works = (vendor: Vendor = 'anthropic', options?: LLMOptions) => blockingLLM(good, vendor, options)
const fails = () => blockingLLM(down, 'openai')
const folder = mkdtempSync(join(tmpdir(), 'convoke-combined-'))
afterAll(() => rmSync(folder, { recursive: true }))

const combined: Record<string, () => LLM> = {
  fallback: () => fallback([fails(), works()]),
  hedge: () => hedge([blockingLLM(slow, 'openai'), works()], { afterMs: 20 }),
  balance: () => balance([fails(), works()]),
  withDefaults: () => withDefaults(works(), { maxTokens: 9 }),
  nested: () =>
    fallback([balance([fails()]), hedge([withDefaults(works(), { seed: 1 })], { afterMs: 1_000 })]),
}
for (const [name, make] of Object.entries(combined)) {
  test(`${name} blocks: a reply, a stream, a session, a count`, () => {
    const llm = make()
    const reply = llm.generate('Hi')
    assert.deepEqual([reply.content, reply.provider], ['Paris.', 'anthropic'])
    assert.equal(reply.otherAttempts?.length, name === 'withDefaults' ? undefined : 1)
    let text = ''
    for (const { content } of llm.generate('Hi', { stream: true })) text += content
    assert.equal(text, 'Paris.')
    const session = createSession(llm, { store: join(folder, `${name}.db`) })
    assert.equal(session.generate('Hi').content, 'Paris.')
    assert.ok(llm.countTokensSync('Hi').tokens > 0)
  })
}

test('the members have one twin each: the turn of a balance goes on from call to call', async () => {
  const llm = balance([works('openai'), works('gemini'), works('cohere')])
  const providers = Array.from({ length: 4 }, () => llm.generate('Hi').provider)
  assert.deepEqual(providers, ['openai', 'gemini', 'cohere', 'openai'])
  await llm.close()
  assert.equal(thrown(() => llm.generate('Hi')).code, 'configuration')
})

test('errors cross with what was lost before them', () => {
  const error = thrown(() => fallback([fails(), fails()]).generate('Hi'))
  assert.deepEqual([error.code, error.attempts, error.partial?.otherAttempts?.length], ['server_error', 2, 1])
})

test('a schema among the defaults is judged on this side', () => {
  const schema = z.string()
  const llm = withDefaults(fallback([fails(), works()]), { schema })
  assert.equal(thrown(() => llm.generate('Hi')).code, 'invalid_output')
  const apart = fallback([works('openai', { schema }), works()])
  const error = thrown(() => apart.generate('Hi'))
  assert.deepEqual([error.code, /differ in their schema/.test(error.message)], ['blocking_unavailable', true])
})

test('of two replies that are judged at once each has its own verdict', async () => {
  const judged: unknown[] = []
  const schema = z.object({ from: z.string() }).refine((value) => {
    judged.push(value)
    // The other reply comes meanwhile.
    for (const end = performance.now() + 300; performance.now() < end;);
    return judged.length > 1
  })
  const of = async (vendor: Vendor) =>
    blockingLLM(await simulatorThread({ reply: JSON.stringify({ from: vendor }) }), vendor)
  const reply = hedge([await of('openai'), await of('anthropic')], { afterMs: 0 }).generate('Hi', { schema })
  assert.deepEqual(reply.output, judged[1])
  assert.equal((reply.output as { from: string }).from, reply.provider)
})

test('what cannot cross is refused with the remedy: functions, clients', () => {
  const error = thrown(() => fallback([fails(), works()], { on: () => true }).generate('Hi'))
  assert.equal(error.code, 'blocking_unavailable')
  assert.match(error.message, /options\.on is a function.*agenerate\(\)/)
  const client = createLLM(new OpenAI({ apiKey: 'x', baseURL: good.baseURL('openai') }), { model: 'm' })
  assert.equal(thrown(() => balance([works(), client]).generate('Hi')).code, 'blocking_unavailable')
})

test('a combined call in flight is one call', async () => {
  const llm = fallback([blockingLLM(slow, 'openai'), works()])
  const pending = llm.stream('Hi')
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.match(
    thrown(() => llm.generate('Hi')).message,
    /^(\[fallback\] )?A call of this thread is in flight/,
  )
  pending.cancel()
  await pending.response.catch(() => {})
})
