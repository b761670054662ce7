/** What a session is given, by import, by add and through its stream: what is kept of it and what is refused. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLLM, createSession, importSession, sqliteStore } from 'convoke'
import type { ConvokeError, SessionOptions, TextPart } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, test } from 'vitest'
import { parseExportLines } from '../../src/session/export-lines.ts'
import { sendableHistory } from '../../src/session/sendable-history.ts'
import type { HistoryMessage } from '../../src/session/history.ts'

let simulator: Simulator
let folder = ''
let files = 0
beforeAll(async () => {
  simulator = await startSimulator({ strictMessages: true })
  folder = mkdtempSync(join(tmpdir(), 'convoke-import-'))
})
afterAll(async () => {
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
  ].map((message) => ({ ...message, id: '' }) as HistoryMessage)
  const sent = sendableHistory(history, 'openai')
  assert.deepEqual(
    sent.map(({ role }) => role),
    ['user', 'assistant', 'tool'],
  )
  assert.deepEqual(sent[0]?.content, [text('What time?')])
  assert.match(JSON.stringify(sent[2]), /noon/)
})

const head = { format: 'convoke-session', version: 1, session: { system: 'Be brief.', metadata: { tag: 7 } } }
const hello = { role: 'user', content: [{ type: 'text', text: 'Hello' }], turn: 1 }
const asLines = (...values: unknown[]) => values.map((value) => JSON.stringify(value)).join('\n')

test('an import keeps the metadata and the system prompt, also under an id whose session is empty', async () => {
  const store = sqliteStore({ path: path() })
  await store.open({ id: 'empty' })
  for (const id of [undefined, 'empty']) {
    const options = { store, ...(id ? { id } : {}) }
    await using session = await importSession(connect(), asLines(head, hello), options)
    const { metadata, system, turns } = (await store.find(session.id)) ?? {}
    assert.deepEqual({ metadata, system, turns }, { metadata: { tag: 7 }, system: 'Be brief.', turns: 1 })
  }
  await store.close()
})

test('an import under the id of a session that has messages is refused', async () => {
  const options = { store: path(), id: 'alice' }
  await (await importSession(connect(), asLines(head, hello), options)).close()
  await assert.rejects(importSession(connect(), asLines(head, hello), options), {
    code: 'invalid_request',
    message: /"alice" has messages already\. Import under another id/,
  })
  await using session = open(options)
  assert.equal((await session.history()).length, 1)
})

test('of two imports at once under one id the first is kept, and the second refused', async () => {
  const file = path()
  const stores = [sqliteStore({ path: file }), sqliteStore({ path: file })] as const
  for (const [first, second] of [stores, [stores[0], stores[0]] as const]) {
    const id = first === second ? 'one store' : 'two stores'
    const imports = [first, second].map((store) =>
      importSession(connect(), asLines(head, hello), { store, id }),
    )
    const settled = await Promise.allSettled(imports)
    const refused = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as ConvokeError] : []))
    assert.deepEqual(
      refused.map(({ code }) => code),
      ['invalid_request'],
    )
    assert.match(refused[0]?.message ?? '', /has messages already\. Import under another id/)
    assert.equal((await first.readMessages(id)).length, 1)
  }
  await Promise.all(stores.map((store) => store.close()))
})

test('an import under the id of a session in which a turn runs is refused', async () => {
  const store = sqliteStore({ path: path() })
  await store.open({ id: 'alice' })
  await store.beginTurn({ sessionId: 'alice', replyId: 'r', messages: [], writer: store.writer })
  await assert.rejects(importSession(connect(), asLines(head, hello), { store, id: 'alice' }), {
    code: 'invalid_request',
  })
  await store.close()
})

test('an import checks its options', async () => {
  const options = { stor: 'x' } as SessionOptions
  await assert.rejects(importSession(connect(), asLines(head), options), { code: 'configuration' })
})

test('a line that is no message is refused by its number, and nothing is kept', async () => {
  const part = (role: string, content: unknown) => ({ role, content: [content] })
  const bad: [unknown, RegExp][] = [
    [part('user', null), /part .* is null/],
    [part('user', { type: 'sound' }), /"sound"; its parts are text, image, file/],
    [part('user', { type: 'text', text: 5 }), /text of the text part is 5/],
    [part('user', { type: 'image', image: '?!' }), /neither a URL nor base64/],
    [part('assistant', { type: 'tool-call', id: 1, name: 'clock' }), /id of the tool-call part is 1/],
    [part('assistant', { type: 'tool-result' }), /"tool-result"/],
    [part('tool', { type: 'tool-result', toolCallId: null }), /toolCallId/],
    [part('wizard', { type: 'text', text: '' }), /role is "wizard"/],
    [part('constructor', { type: 'text', text: '' }), /role is "constructor"/],
    [{ ...hello, status: 'asleep' }, /status of the message is "asleep"/],
    [{ ...hello, provider: 5 }, /provider of the message is 5/],
    [{ role: 'user', content: 'Hello' }, /content is "Hello"/],
  ]
  const store = sqliteStore({ path: path() })
  for (const [line, message] of bad) {
    const promise = importSession(connect(), asLines(head, hello, line), { store })
    await assert.rejects(promise, (error: ConvokeError) => {
      assert.equal(error.code, 'invalid_request')
      assert.match(error.message, /^Line 3 of the session is not a message: /)
      assert.match(error.message, message)
      return true
    })
  }
  for (const session of [{ metadata: 'x' }, { system: 5 }]) {
    const promise = importSession(connect(), asLines({ ...head, session }), { store })
    await assert.rejects(promise, { code: 'invalid_request', message: /^Line 1 / })
  }
  assert.deepEqual(await store.list(), [])
  await store.close()
})

test('an import that the store cannot keep leaves no session behind, and closes a store that was its own', async () => {
  const store = sqliteStore({ path: path() })
  await store.open({ id: 'other' })
  const said = (id: string) => ({ id, role: 'user' as const, content: hello.content as [TextPart] })
  await store.addMessages('other', [said('taken')])
  await assert.rejects(store.importSession({ id: 'alice' }, [said('new'), said('taken')]), {
    code: 'store_failed',
  })
  assert.equal(await store.find('alice'), undefined)
  await store.close()
  const options = { store: path(), id: 'alice' }
  const first = await importSession(connect(), asLines(head, hello), options)
  assert.ok(existsSync(`${options.store}-wal`))
  await first.close()
  await assert.rejects(importSession(connect(), asLines(head, hello), options))
  // SQLite takes it away when the last one closes the file.
  assert.ok(!existsSync(`${options.store}-wal`))
})

test('one line of 16 MB in small pieces is read in time that grows with its length', async () => {
  const long = { role: 'user', content: [{ type: 'text', text: 'x'.repeat(16 * 1_024 * 1_024) }] }
  const pieces = asLines(head, long).match(/[^]{1,65536}/g) ?? []
  const start = process.cpuUsage()
  const { messages } = await parseExportLines(pieces)
  const { user, system } = process.cpuUsage(start)
  assert.equal(messages.length, 1)
  assert.ok(user + system < 300_000, `${(user + system) / 1_000} ms`)
})
