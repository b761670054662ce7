/** What a session is given, by import, by add and through its stream: what is kept of it and what is refused. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createLLM, createSession } from 'convoke'
import type { SessionOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { sendable } from '../src/session/history.ts'
import type { Said } from '../src/session/history.ts'

let simulator: Simulator
let folder = ''
let files = 0
before(async () => {
  simulator = await startSimulator({ strictMessages: true })
  folder = mkdtempSync(join(tmpdir(), 'convoke-import-'))
})
after(async () => {
  await simulator.close()
  rmSync(folder, { recursive: true })
})

const path = () => join(folder, `${files++}.db`)
const connect = () =>
  createLLM('openai', { model: 'm', apiKey: 'sk-0123456789', baseURL: simulator.baseURL('openai') })
const open = (options: SessionOptions = {}) => createSession(connect(), { store: path(), ...options })

test("a session's stream tells in its response where the reply is kept", async () => {
  await using session = open()
  const { sessionId, messageId, persisted } = await session.stream('Hi').response
  assert.deepEqual([sessionId, persisted], [session.id, true])
  const again = await session.agenerate('Hi', { stream: true })
  assert.notEqual((await again.response).messageId, messageId)
})

test('a prompt of nothing but white space is refused, and not kept', async () => {
  await using session = open()
  const blank = { code: 'invalid_request', message: /blank.*Pass a text/ }
  await assert.rejects(session.add({ role: 'user', content: ' ' }), blank)
  await assert.rejects(
    session.agenerate([{ role: 'user', content: [{ type: 'text', text: '\n\t' }] }]),
    blank,
  )
  assert.deepEqual(await session.history(), [])
})

test('what is blank in a history is not sent, and does not part a tool call from its result', () => {
  const text = (content: string) => ({ type: 'text', text: content })
  const history = [
    { role: 'user', content: [text(' '), text('What time?'), text('')] },
    { role: 'assistant', content: [{ type: 'tool-call', id: 'a', name: 'clock', arguments: {} }] },
    { role: 'user', content: [text('\n')] },
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: 'a', name: 'clock', result: 'noon' }] },
  ].map((message) => ({ ...message, id: '' }) as Said)
  const sent = sendable(history, 'openai')
  assert.deepEqual(
    sent.map(({ role }) => role),
    ['user', 'assistant', 'tool'],
  )
  assert.deepEqual(sent[0]?.content, [text('What time?')])
  assert.match(JSON.stringify(sent[2]), /noon/)
})
