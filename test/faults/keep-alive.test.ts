/** The server closes kept-alive connections: no call fails because of it, and no request is answered twice. */
import assert from 'node:assert/strict'
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { afterAll, test } from 'vitest'
import { forkModule } from './fork-module.ts'
import { openLLM, vendors } from './vendors.ts'

const calls = 1_000
const atOnce = 50

interface Seen {
  requests: number
  resets: number
  idleCloses: number
  sockets: number
  answered: Record<string, number>
}

const server = forkModule('keep-alive-server.ts')
const { url } = await server.message<{ url: string }>()
afterAll(() => server.child.disconnect())

/** One LLM per vendor. A new connection does not count as an attempt, so a single attempt must be enough. */
async function open(mode: string): Promise<LLM[]> {
  const warm = vendors.map((vendor) => openLLM(vendor, `${url}/warm`))
  await Promise.all(warm.map((llm) => llm.agenerate('Hi')))
  await server.ask<Seen>('from here on')
  return vendors.map((vendor) =>
    openLLM(vendor, `${url}/${mode}`, { retry: { attempts: 1 }, maxConcurrent: atOnce }),
  )
}

async function call(llms: LLM[], number: number): Promise<void> {
  const llm = llms[number % llms.length]
  assert.ok(llm)
  const prompt = `This is call ${number}.`
  const reply = await (Math.floor(number / llms.length) % 2
    ? llm.agenerate(prompt)
    : llm.stream(prompt).response)
  assert.equal(reply.content, 'Fine.')
  assert.equal(reply.timing.attempts, 1)
}

function checkOnce({ answered }: Seen): void {
  assert.equal(Object.keys(answered).length, calls)
  assert.deepEqual(
    Object.entries(answered).filter(([, times]) => times !== 1),
    [],
  )
}

test(`${calls} calls in bursts around the second at which idle sockets are closed: no error, nothing twice`, async (t) => {
  const llms = await open('keep')
  const bursts = calls / atOnce
  const failures: unknown[] = []
  for (let burst = 0; burst < bursts; burst++) {
    const numbers = Array.from({ length: atOnce }, (_, at) => burst * atOnce + at)
    await Promise.all(numbers.map((number) => call(llms, number).catch((error) => failures.push(error))))
    // The server closes a socket a second after its last answer. The burst and the pause together take almost this
    // second, so that many requests are on their way when the socket closes.
    await new Promise((resolve) => setTimeout(resolve, 960 + (burst % 10) * 4))
  }
  const seen = await server.ask<Seen>('what came?')
  await t.annotate(
    `keep-alive 1 s: ${calls} calls, ${failures.length} errors, ${seen.sockets} connections, ` +
      `${seen.idleCloses} closed when idle, ${seen.requests} requests answered`,
  )
  assert.deepEqual(failures.slice(0, 3).map(String), [])
  checkOnce(seen)
  // Otherwise the test would have tested nothing.
  assert.ok(seen.idleCloses > atOnce, `${seen.idleCloses} idle closes`)
})

test(`${calls} calls over sockets that are reset as soon as they are used again: no error, nothing twice`, async (t) => {
  const llms = await open('reset-on-reuse')
  const failures: unknown[] = []
  let next = 0
  const work = async () => {
    for (let number = next++; number < calls; number = next++) {
      await call(llms, number).catch((error) => failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  const seen = await server.ask<Seen>('what came?')
  await t.annotate(
    `reset on reuse: ${calls} calls, ${failures.length} errors, ${seen.resets} sockets reset, ` +
      `${seen.requests} requests came`,
  )
  assert.deepEqual(failures.slice(0, 3).map(String), [])
  checkOnce(seen)
  assert.ok(seen.resets > calls / 4, `${seen.resets} resets`)
})

test('a request whose response had begun, if only by a byte, is not sent again behind the caller’s back', async (t) => {
  const llms = await open('byte-and-reset-on-reuse')
  let errors = 0
  let next = 0
  const work = async () => {
    for (let number = next++; number < calls; number = next++) {
      await call(llms, number).catch((error: unknown) => {
        assert.ok(isConvokeError(error), String(error))
        assert.ok(error.code === 'connection' || error.code === 'stream_truncated', String(error))
        assert.equal(error.attempts, 1)
        errors++
      })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  const seen = await server.ask<Seen>('what came?')
  await t.annotate(
    `a byte and a reset on reuse: ${calls} calls, ${errors} errors, ${seen.resets} sockets reset`,
  )
  checkOnce(seen)
  assert.equal(errors, seen.resets)
  assert.ok(seen.resets > calls / 4, `${seen.resets} resets`)
})
