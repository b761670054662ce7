/** session.generate(): turns that block, on the file of those that do not. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { createSession, sqliteStore } from 'convoke'
import type { LLM, LLMOptions, Session } from 'convoke'
import { afterAll, test } from 'vitest'
import { z } from 'zod'
import { blockingLLM, rejected, thrown } from '../support/blocking-kit.ts'
import { answeredBy, simulatorThread } from '../support/simulator-thread.ts'

const simulator = await simulatorThread({ strictMessages: true })
const llmOf = (vendor: 'openai' | 'anthropic', options?: LLMOptions) =>
  blockingLLM(simulator, vendor, options)
const folder = mkdtempSync(join(tmpdir(), 'convoke-blocking-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = () => join(folder, `${files++}.db`)

test('blocking and async turns follow each other in one conversation', async () => {
  await using store = sqliteStore({ path: newFile() })
  await using session = createSession(llmOf('openai'), { store, system: 'Be brief.' })
  const first = session.generate('one')
  assert.ok(first.persisted)
  assert.equal(first.sessionId, session.id)
  await session.agenerate('two')
  for (const chunk of session.generate('three', { stream: true })) assert.ok('content' in chunk)
  session.llm = llmOf('anthropic')
  session.generate('four')
  await session.agenerate('five')
  const history = await session.history()
  assert.deepEqual(
    history.filter(({ role }) => role === 'user').map(({ content }) => content),
    ['one', 'two', 'three', 'four', 'five'].map((text) => [{ type: 'text', text }]),
  )
  assert.deepEqual(
    history.map(({ turn }) => turn),
    [1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
  )
  assert.equal(history[1]?.id, first.messageId)
  const last = (await simulator.requests()).at(-1)
  assert.equal(last?.messages.length, 9)
  assert.equal(last?.system, 'Be brief.')
})

test('a session without a store keeps its blocking turns in its own temporary file', async () => {
  const session = createSession(llmOf('openai'))
  session.generate('one')
  session.generate('two')
  assert.equal((await session.history()).length, 4)
  await session.close()
})

test('a session that was deleted begins anew, and a store that was closed takes no more turns', async () => {
  const store = sqliteStore({ path: newFile() })
  const session = createSession(llmOf('openai'), { store })
  session.generate('one')
  await session.delete()
  session.generate('two')
  assert.equal((await session.history()).length, 2)
  await store.close()
  const error = thrown(() => session.generate('three'))
  assert.equal(error.code, 'store_failed')
  assert.match(error.message, /was closed/)
})

test(
  'sessions that are never closed hold no thread each',
  { skip: !existsSync('/proc/self/task') },
  async () => {
    const threads = () => readdirSync('/proc/self/task').length
    const llm = llmOf('openai')
    const sessions = Array.from({ length: 24 }, () => createSession(llm))
    const open = sessions[0]?.generate(answeredBy({ chunks: ['a', 'b', 'c'], paceMs: 500 }), { stream: true })
    const before = threads()
    for (const session of sessions.slice(1)) session.generate('one')
    // Not one of this thread's own, whose stores are not open yet.
    assert.ok(threads() - before <= 12, `${threads() - before} threads more`)
    assert.equal(open?.response.content, 'abc')
    for (const session of sessions) session.generate('two')
    const histories = await Promise.all(sessions.map((session) => session.history()))
    for (const history of histories) assert.equal(history.length, 4)
    await Promise.all(sessions.map((session) => session.close()))
  },
)

test('an operation runs once, whichever side asks', async () => {
  await using session = createSession(llmOf('openai'), { store: newFile() })
  const first = session.generate('once', { operationId: 'op-1' })
  assert.equal((await session.agenerate('once', { operationId: 'op-1' })).messageId, first.messageId)
  assert.equal(session.generate('once', { operationId: 'op-1' }).messageId, first.messageId)
  assert.equal((await session.history()).length, 2)
})

test('a turn that fails, one that is left and a schema', async () => {
  await using session = createSession(llmOf('openai'), { store: newFile() })
  assert.equal(thrown(() => session.generate(answeredBy({ fault: { status: 400 } }))).code, 'invalid_request')
  const prompt = answeredBy({ text: 'word '.repeat(100), paceMs: 10 })
  for (const { content } of session.generate(prompt, { stream: true })) if (content) break
  const left = (await session.history()).at(-1)
  assert.equal(left?.status, 'cancelled')
  assert.match(JSON.stringify(left?.content), /wor/)
  const schema = z.object({ city: z.string() })
  const typed = session.generate(answeredBy({ text: '{"city":"Oslo"}' }), { schema })
  assert.equal(typed.output?.city, 'Oslo')
  assert.match(thrown(() => session.generate('Hi', { messages: [] } as object)).message, /own messages/)
})

test('a reply that does not fit its schema is kept as one that failed, as on the async side', async () => {
  const prompt = answeredBy({ text: '{"city":7}' })
  const schema = z.object({ city: z.string() })
  const kept: unknown[] = []
  for (const ask of [
    (session: Session) => rejected(session.agenerate(prompt, { schema })),
    (session: Session) => thrown(() => session.generate(prompt, { schema })),
    (session: Session) => thrown(() => [...session.generate(prompt, { schema, stream: true })]),
  ]) {
    await using session = createSession(llmOf('openai'), { store: newFile() })
    assert.equal((await ask(session)).code, 'invalid_output')
    kept.push((await session.history()).map(({ status, error }) => [status, error]))
  }
  assert.deepEqual(kept[1], kept[0])
  assert.deepEqual(kept[2], kept[0])
})

test('a stream whose schema waits to be asked gives way to other calls', async () => {
  const schema = z.object({ city: z.string() })
  await using session = createSession(llmOf('openai', { maxConcurrent: 1 }), { store: newFile() })
  const timeouts = { idleMs: 100 }
  const stream = session.generate(answeredBy({ text: '{"city":"Oslo"}' }), { schema, timeouts, stream: true })
  // A reader that is slow to ask is not a vendor that is silent.
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  assert.ok(session.generate('in between').persisted)
  assert.deepEqual(stream.response.output, { city: 'Oslo' })
  const left = session.generate(answeredBy({ text: '{"city":"Oslo"}' }), { schema, stream: true })
  await new Promise((resolve) => setTimeout(resolve, 300))
  left.cancel()
  assert.ok(session.generate('behind it').persisted)
})

test('a schema that is torn away ends its stream, and the turn with it', async () => {
  const text = answeredBy({ text: '{"city":"Oslo"}' })
  let wasAsked = false
  const schema = z.object({ city: z.string() }).refine(() => {
    wasAsked = true
    for (;;);
  })
  await using session = createSession(llmOf('openai', { maxConcurrent: 1 }), { store: newFile() })
  const stream = session.generate(text, { schema, stream: true })
  const tear = () => runInNewContext('read()', { read: () => stream.response }, { timeout: 500 }) as unknown
  // On a busy machine the time-out may come before the schema is asked. The next blocking call would then ask it, where
  // no time-out ends its loop, so the stream is read on until the schema was torn away.
  while (!wasAsked) assert.throws(tear, { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' })
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.ok(session.generate('behind it').persisted)
  const { code, message } = thrown(() => stream.response)
  assert.deepEqual([code, /interrupted/.test(message)], ['invalid_output', true])
  const [, { status } = {}] = await session.history()
  assert.equal(status, 'failed')
})

test('a call within a loop over a stream waits for what the loop holds, and gets it', async () => {
  // More than any buffer on the way holds: who waited for its reader would never end.
  const long = answeredBy({ chunks: Array.from({ length: 3_000 }, (_, at) => `${at} `) })
  await using session = createSession(llmOf('openai', { maxConcurrent: 1 }), { store: newFile() })
  const read: string[] = []
  for (const { content } of session.generate(long, { stream: true })) {
    if (content && read.push(content) === 10) assert.ok(session.generate('in between').persisted)
  }
  assert.equal(read.length, 3_000)
  const roles = (await session.history()).map(({ role }) => role)
  assert.deepEqual(roles, ['user', 'assistant', 'user', 'assistant'])
})

test('totalMs bounds a turn that waits for another process as well', async () => {
  await using store = sqliteStore({ path: newFile() })
  await using session = createSession(llmOf('openai'), { store })
  await session.agenerate('one')
  const { writer } = store
  await store.beginTurn({ sessionId: session.id, replyId: 'of another', messages: [], writer })
  const error = thrown(() => session.generate('two', { timeouts: { totalMs: 200 } }))
  assert.deepEqual([error.code, error.phase, error.attempts], ['timeout', 'total', 0])
})

test('the history of a session whose call was overdue in line says so', async () => {
  const llm = llmOf('openai', { rateLimit: { requestsPerMinute: 1 } })
  await using session = createSession(llm, { store: newFile() })
  session.generate('one')
  assert.equal(thrown(() => session.generate('two', { timeouts: { totalMs: 100 } })).code, 'timeout')
  const [, , , { status, error } = {}] = await session.history()
  assert.deepEqual([status, error?.code], ['failed', 'timeout'])
})

/** Reads one chunk of a long stream, and looks after a while at how much of it was sent. */
async function assertStops(llm: LLM): Promise<void> {
  const endless = answeredBy({ chunks: Array.from({ length: 50_000 }, (_, at) => `${at} `.repeat(20)) })
  const stream = llm.generate(endless, { stream: true })
  stream.next()
  await new Promise((resolve) => setTimeout(resolve, 500))
  const request = (await simulator.requests()).at(-1)
  assert.equal(request?.outcome, 'open')
  assert.ok((request?.eventsSent ?? Infinity) < 40_000, `${request?.eventsSent} events`)
  stream.cancel()
}

test('a slow reader stops the stream', () => assertStops(llmOf('openai')))

test('a slow reader stops the stream, though another that nobody waits for is empty', async () => {
  const llm = llmOf('openai')
  const idle = llm.generate(answeredBy({ text: 'late', latencyMs: 3_600_000 }), { stream: true })
  await assertStops(llm)
  idle.cancel()
})
