/** A strict simulator and a folder for stores, for the tests of sessions. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLLM, createSession } from 'convoke'
import type { ConvokeError, LLMOptions, SessionOptions } from 'convoke'
import { startSimulator } from 'convoke/simulator'
import type { Simulator } from 'convoke/simulator'
import { afterAll, beforeAll, beforeEach } from 'vitest'

export let simulator: Simulator
let folder = ''
let files = 0
beforeAll(async () => {
  simulator = await startSimulator({ strictMessages: true })
  folder = mkdtempSync(join(tmpdir(), 'convoke-session-'))
})
afterAll(async () => {
  await simulator.close()
  rmSync(folder, { recursive: true })
})
beforeEach(() => {
  simulator.reset()
  simulator.setReply(({ prompt }) => `You said ${prompt}`)
})

/** The path of a store that does not exist yet. */
export const path = () => join(folder, `${files++}.db`)

export function connect(provider = 'openai', options: LLMOptions = {}) {
  return createLLM(provider, {
    model: 'm',
    apiKey: 'sk-0123456789',
    baseURL: simulator.baseURL(provider),
    retry: { attempts: 1 },
    ...options,
  })
}

export function open(options: SessionOptions = {}, provider = 'openai') {
  return createSession(connect(provider), { store: path(), ...options })
}

/** The messages of the last request, as `role: text`. */
export const wire = () => simulator.requests.at(-1)?.messages.map(({ role, text }) => `${role}: ${text}`)
/** The error code of a promise, or `none`. */
export const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: ConvokeError) => error.code,
  )
