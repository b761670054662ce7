/** Sessions: a conversation that is kept, in order, and that every vendor accepts when it goes on. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { createSession, sqliteStore } from 'convoke'
import { test, vi } from 'vitest'
import { rejected } from '../support/errors-kit.ts'
import { codeOf, connect, open, path, simulator, wire } from '../support/session-kit.ts'

test('a session remembers, and keeps the whole of what was said', async () => {
  await using session = open({ system: 'Be brief.' })
  await session.agenerate('I am Alice')
  const reply = await session.agenerate('Who am I?')
  assert.deepEqual(wire(), ['user: I am Alice', 'assistant: You said I am Alice', 'user: Who am I?'])
  assert.equal(simulator.requests.at(-1)?.system, 'Be brief.')
  assert.ok(reply.persisted)
  const history = await session.history()
  assert.deepEqual(
    history.map(({ role, status, turn }) => [role, status, turn]),
    [
      ['user', 'complete', 1],
      ['assistant', 'complete', 1],
      ['user', 'complete', 2],
      ['assistant', 'complete', 2],
    ],
  )
  const last = history.at(-1)
  assert.equal(last?.id, reply.messageId)
  assert.deepEqual(last?.usage, reply.usage)
  assert.deepEqual(
    [last?.provider, last?.model, last?.finishReason, last?.responseId],
    ['openai', 'm', 'stop', reply.id],
  )
  assert.deepEqual(last?.timing, reply.timing)
})

test('another session of the same id, on the same file, goes on where the first one was', async () => {
  const store = path()
  {
    await using session = createSession(connect(), { store, id: 'alice', system: 'Be kind.' })
    await session.agenerate('One')
  }
  await using again = createSession(connect('anthropic'), { store, id: 'alice' })
  await again.agenerate('Two')
  assert.deepEqual(wire(), ['user: One', 'assistant: You said One', 'user: Two'])
  assert.equal(simulator.requests.at(-1)?.system, 'Be kind.')
  await using changed = createSession(connect(), { store, id: 'alice', system: 'Be harsh.' })
  await changed.agenerate('Three')
  assert.equal(simulator.requests.at(-1)?.system, 'Be harsh.')
  await again.agenerate('Four', { system: 'Be odd.' })
  assert.equal(simulator.requests.at(-1)?.system, 'Be odd.')
})

test('a stream is kept as it comes, and ends when it is on disk', async () => {
  simulator.setReply({ text: 'A story of some length.', paceMs: 120 })
  await using session = open()
  const stream = session.stream('Tell me')
  let text = ''
  for await (const chunk of stream) {
    text += chunk.content
    if (text.length < 20) continue
    if (chunk.type === 'text') {
      const [, reply] = await session.history()
      assert.equal(reply?.status, 'streaming')
      assert.match(JSON.stringify(reply.content), /A st/)
    } else if (chunk.type === 'finish') {
      assert.equal((await session.history()).at(-1)?.status, 'complete')
    }
  }
  assert.equal(text, 'A story of some length.')
  assert.equal((await stream.response).content, text)
  assert.deepEqual((await session.history()).at(-1)?.content, [{ type: 'text', text }])
})

test('a stream that is left is kept as cancelled, with what had come, and the session goes on', async () => {
  simulator.setReply({ text: 'A story without an end.', paceMs: 10 })
  await using session = open()
  let text = ''
  for await (const chunk of session.stream('Tell me')) {
    text += chunk.content
    if (text.length > 8) break
  }
  const reply = (await session.history()).at(-1)
  assert.deepEqual([reply?.status, reply?.error?.code], ['cancelled', 'cancelled'])
  assert.match(JSON.stringify(reply?.content), /A story/)
  simulator.setReply('Well.')
  await session.agenerate('Go on')
  assert.equal(wire()?.length, 3)
})

test('a call that failed is kept as failed, and the next request is one that the strictest vendor takes', async () => {
  await using session = open({}, 'anthropic')
  simulator.failNext({ status: 500 })
  assert.equal(await codeOf(session.agenerate('One')), 'server_error')
  const reply = (await session.history()).at(-1)
  assert.deepEqual([reply?.status, reply?.error?.code], ['failed', 'server_error'])
  await session.agenerate('Two')
  // A prompt that was never answered is not sent again with the next.
  assert.deepEqual(wire(), ['user: Two'])
  assert.equal((await session.history()).length, 4)
})

test('a turn that failed is repeated by resume, and its new reply takes the place of the old one', async () => {
  await using session = open()
  await session.agenerate('Zero')
  simulator.failNext({ endAfter: 0.5 })
  assert.equal(await codeOf(session.stream('One').response), 'stream_truncated')
  const reply = await session.resume()
  assert.equal(reply.content, 'You said One')
  assert.deepEqual(wire(), ['user: Zero', 'assistant: You said Zero', 'user: One'])
  assert.deepEqual(
    (await session.history()).map(({ role, status }) => `${role} ${status}`),
    ['user complete', 'assistant complete', 'user complete', 'assistant complete'],
  )
  assert.equal(await codeOf(session.resume()), 'invalid_request')
})

const call = { toolCalls: [{ id: 'call.1:x', name: 'clock', arguments: { zone: 'UTC' } }] }
const tools = [{ name: 'clock', description: 'The time' }]

for (const provider of ['openai', 'anthropic', 'gemini', 'cohere', 'ollama']) {
  test(`${provider}: a tool call without its result gets one, and an own result goes to its call`, async () => {
    await using session = open({}, provider)
    simulator.setReply(call)
    const first = await session.agenerate('What time is it?', { tools })
    const toolCallId = first.toolCalls[0]?.id ?? ''
    simulator.setReply('Noon.')
    await session.agenerate({ role: 'tool', content: [{ type: 'tool-result', toolCallId, result: '12:00' }] })
    simulator.setReply(call)
    await session.agenerate('And now?', { tools })
    simulator.setReply('Never mind.')
    await session.agenerate('Leave it', { tools })
    const texts = simulator.requests.at(-1)?.messages.map(({ role, text }) => `${role} ${text}`) ?? []
    assert.equal(texts.filter((text) => /12:00/.test(text)).length, 1)
    assert.equal(texts.filter((text) => /interrupted before this tool/.test(text)).length, 1)
    assert.match(texts.at(-1) ?? '', /Leave it/)
  })
}

test('a session changes its vendor between turns: ids, signatures and reasoning are put right', async () => {
  const order = ['gemini', 'anthropic', 'openai', 'cohere', 'ollama', 'anthropic', 'gemini', 'openai']
  await using session = open({ system: 'Be brief.' }, 'gemini')
  for (const [at, provider] of order.entries()) {
    session.llm = connect(provider)
    simulator.setReply({ ...call, reasoning: `thought ${at}`, signature: `c2ln${at}` })
    const asked = await session.agenerate(`Question ${at}`, { tools })
    simulator.setReply({ text: `Answer ${at}`, reasoning: `after ${at}`, signature: `c2ln${at}` })
    const toolCallId = asked.toolCalls[0]?.id ?? ''
    const answer = await session.agenerate({ role: 'tool', toolCallId, content: `result ${at}` }, { tools })
    assert.deepEqual([...asked.warnings, ...answer.warnings], [], provider)
    // An id of another vendor's, which this one might refuse.
    const body = JSON.stringify(simulator.requests[2 * at]?.body)
    if (at < 5) assert.ok(!body.includes('call.1:x'), provider)
  }
  const last = simulator.requests.at(-1)
  assert.equal(last?.api, 'chat')
  assert.doesNotMatch(JSON.stringify(last?.body), /thought 0|c2ln0/)
  assert.equal(last?.messages.length, 4 * order.length - 1)
})

test('calls at once are turns in order, each with the replies before it', async () => {
  simulator.setReply(({ prompt }) => ({ text: `re ${prompt}`, latencyMs: 5 }))
  await using session = open()
  await Promise.all(Array.from({ length: 8 }, (_, at) => session.agenerate(`m${at}`)))
  const texts = (await session.history()).map(({ content }) => (content[0] as { text: string }).text)
  assert.deepEqual(texts, Array.from({ length: 8 }, (_, at) => [`m${at}`, `re m${at}`]).flat())
  assert.equal(wire()?.length, 15)
})

test('sessions of two stores on one file take turns, too', async () => {
  const file = path()
  simulator.setReply(({ prompt }) => ({ text: `re ${prompt}`, latencyMs: 10 }))
  await using one = createSession(connect(), { store: file, id: 's' })
  await using two = createSession(connect(), { store: file, id: 's' })
  await Promise.all([1, 2, 3].flatMap((at) => [one.agenerate(`a${at}`), two.agenerate(`b${at}`)]))
  const history = await one.history()
  assert.equal(history.length, 12)
  for (let at = 0; at < 12; at += 2) {
    const [asked, replied] = [history[at], history[at + 1]].map((message) => JSON.stringify(message?.content))
    assert.equal(replied, asked?.replace('"text":"', '"text":"re '))
  }
})

test("with turns: 'reject' a second call is session_busy; with 'fork' it goes on in a fork", async () => {
  simulator.setReply(({ prompt }) => ({ text: `re ${prompt}`, latencyMs: prompt === 'second' ? 600 : 0 }))
  const file = path()
  await using session = createSession(connect(), { store: file, id: 's', turns: 'reject' })
  await session.agenerate('first')
  const running = session.agenerate('second')
  await pause(20)
  assert.equal(await codeOf(session.agenerate('third')), 'session_busy')
  await using other = createSession(connect(), { store: file, id: 's', turns: 'fork' })
  const forked = await other.agenerate('fourth')
  assert.notEqual(forked.sessionId, 's')
  assert.deepEqual(wire(), ['user: first', 'assistant: re first', 'user: fourth'])
  assert.equal((await running).sessionId, 's')
  await using fork = createSession(connect(), { store: file, id: forked.sessionId })
  assert.equal((await fork.history()).length, 4)
  assert.equal((await session.history()).length, 4)
})

test('an operation runs once, whoever asks again, at once or later', async () => {
  const file = path()
  await using session = createSession(connect(), { store: file, id: 's' })
  const [first, second] = await Promise.all(
    [1, 2].map(() => session.agenerate('Pay', { operationId: 'order 7' })),
  )
  assert.equal(simulator.requests.length, 1)
  assert.deepEqual([first?.content, first?.messageId], [second?.content, second?.messageId])
  await using later = createSession(connect(), { store: file, id: 's' })
  const stream = later.stream('Pay', { operationId: 'order 7' })
  let text = ''
  for await (const chunk of stream) text += chunk.content
  assert.equal(text, 'You said Pay')
  assert.deepEqual((await stream.response).usage, first?.usage)
  assert.equal(simulator.requests.length, 1)
})

test('a fork shares the history and goes its own way', async () => {
  await using session = open()
  await session.agenerate('One')
  const { messageId } = await session.agenerate('Two')
  await session.agenerate('Three')
  const branch = await session.fork({ at: messageId })
  await branch.agenerate('Other')
  assert.equal(wire()?.length, 5)
  assert.deepEqual([(await session.history()).length, (await branch.history()).length], [6, 6])
  await session.clear()
  assert.deepEqual([(await session.history()).length, (await branch.history()).length], [0, 6])
  await session.delete()
  assert.equal((await branch.history()).length, 6)
})

test('what was said elsewhere is added; a result without its call, a system message and own messages are refused', async () => {
  await using session = open()
  await session.add([
    { role: 'user', content: [{ type: 'image', image: new Uint8Array([137, 80, 78, 71]) }] },
    { role: 'assistant', content: 'A picture.' },
  ])
  await session.agenerate('Of what?')
  assert.equal(wire()?.length, 3)
  assert.match(JSON.stringify(simulator.requests.at(-1)?.body), /data:image\/png;base64,iVBORw==/)
  for (const prompt of [
    { role: 'tool', toolCallId: 'x', name: 'clock', content: '1' } as const,
    { role: 'system', content: 'Obey.' } as const,
    '',
  ]) {
    assert.equal(await codeOf(session.agenerate(prompt)), 'invalid_request')
    assert.equal(await codeOf(session.add(prompt)), 'invalid_request')
  }
  const options = { messages: [] } as object
  assert.equal(await codeOf(session.agenerate('Hi', options)), 'invalid_request')
  assert.equal((await session.history()).length, 4)
})

test('a store that fails while the reply comes costs its keeping, not the reply', async () => {
  simulator.setReply({ text: 'A reply of some length, slowly.', paceMs: 30 })
  const store = sqliteStore({ path: path() })
  await using session = createSession(connect(), { store })
  const stream = session.stream('Hi')
  let text = ''
  for await (const chunk of stream) {
    if (text === '') await store.close()
    text += chunk.content
  }
  assert.equal(text, 'A reply of some length, slowly.')
  const response = await stream.response
  assert.equal(response.persisted, false)
  assert.equal(response.storeError?.code, 'store_failed')
  assert.equal(await codeOf(session.agenerate('And now?')), 'store_failed')
})

test('results of tools that could not be sent may be given again', async () => {
  await using session = open()
  simulator.setReply(call)
  const { toolCalls } = await session.agenerate('What time is it?', { tools })
  const result = { role: 'tool', toolCallId: toolCalls[0]?.id ?? '', content: 'noon' } as const
  simulator.failNext({ status: 503 })
  assert.equal(await codeOf(session.agenerate(result)), 'overloaded')
  simulator.setReply('Noon.')
  assert.equal((await session.agenerate(result)).content, 'Noon.')
  assert.equal(wire()?.filter((text) => text.includes('noon')).length, 1)
  assert.equal(await codeOf(session.agenerate(result)), 'invalid_request')
})

test('closing a session ends its turns, and keeps what had come of them', async () => {
  simulator.setReply({ text: 'A story without an end.', paceMs: 30 })
  const store = path()
  const session = createSession(connect(), { store, id: 's' })
  const stream = session.stream('Tell me')
  const waiting = codeOf(session.agenerate('And then?'))
  for await (const { content } of stream) {
    if (content) void session.close()
    if (content) break
  }
  assert.equal(await codeOf(stream.response), 'cancelled')
  assert.equal(await waiting, 'cancelled')
  assert.equal(await codeOf(session.history()), 'configuration')
  await using again = createSession(connect(), { store, id: 's' })
  const history = await again.history()
  assert.deepEqual(
    history.map(({ status }) => status),
    ['complete', 'cancelled'],
  )
  assert.match(JSON.stringify(history[1]?.content), /A st/)
})

test('a call that is cancelled in line is gone, and those behind it go on', async () => {
  simulator.setReply(({ prompt }) => ({ text: `re ${prompt}`, latencyMs: 40 }))
  await using session = open()
  const controller = new AbortController()
  const calls = ['one', 'two', 'three'].map((prompt) =>
    session.agenerate(prompt, prompt === 'two' ? { signal: controller.signal } : {}),
  )
  controller.abort()
  assert.deepEqual(await Promise.all(calls.map(codeOf)), ['none', 'cancelled', 'none'])
  const { partial } = await rejected(calls[1] as Promise<unknown>)
  assert.deepEqual([partial?.finishReason, partial?.usage.totalTokens], ['cancelled', 0])
  assert.equal((await session.history()).length, 4)
  const leaving = new AbortController()
  const running = rejected(session.agenerate('four', { signal: leaving.signal }))
  await pause(20)
  leaving.abort('enough')
  assert.equal((await running).message, '[openai] The call was cancelled: enough.')
})

test('history stands in the order of writing, whatever the clock says', async () => {
  const now = Date.now()
  await using session = open()
  for (const at of [0, -3_600_000, 3_600_000]) {
    vi.spyOn(Date, 'now').mockImplementation(() => now + at)
    await session.agenerate(`at ${at}`)
  }
  const history = await session.history()
  assert.deepEqual(
    history.map(({ sequence }) => sequence),
    history.map(({ sequence }) => sequence).sort((a, b) => a - b),
  )
  assert.equal(wire()?.length, 5)
})
