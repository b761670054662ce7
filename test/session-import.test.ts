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
