/** A server echoes the API key in every possible place, and nothing that a caller could print contains it. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isConvokeError } from 'convoke'
import type { GenerateResponse, LLM } from 'convoke'
import { test } from 'vitest'
import { echoes } from './echoes.ts'
import { forkModule } from './fork-module.ts'
import { serveRaw } from './serve.ts'
import type { Served } from './serve.ts'
import { openLLM, understand, vendors } from './vendors.ts'

/** 40 characters that are all valid in the names of headers and hosts, which become lower case on the way. */
const key = 'sk-0A1b2C3d4E5f60718293a4B5c6D7e8F9-a0B1'
assert.equal(key.length, 40)

/** Sends the echo that the prompt names, and closes the connection, because half of the echoes make it useless. */
function serveEchoes(): Promise<Served> {
  return serveRaw((socket, request) => {
    const path = request.slice(0, request.indexOf('\r\n'))
    const { vendor, isStream } = understand(path, request)
    const name = Object.keys(echoes).find((candidate) => request.includes(`"${candidate}"`))
    assert.ok(name, request)
    // The server takes the key from the request.
    assert.ok(request.includes(key), 'no key was sent')
    socket.end(echoes[name]?.(key, vendor, isStream) ?? '')
  })
}

/** Everything that a caller could print of an error or a reply. */
function shown(outcome: unknown): Record<string, string> {
  const views: Record<string, string> = {
    inspect: inspect(outcome, { depth: 10, showHidden: true }),
    JSON: JSON.stringify(outcome) ?? '',
    text: String(outcome),
  }
  if (!isConvokeError(outcome)) {
    views['raw'] = inspect((outcome as GenerateResponse).raw, { depth: 20, showHidden: true })
    return views
  }
  views['message'] = outcome.message
  views['stack'] = String(outcome.stack)
  views['partial.raw'] = inspect(outcome.partial?.raw, { depth: 20, showHidden: true })
  let cause = outcome.cause
  for (let depth = 0; cause && depth < 10; depth++) {
    views[`cause ${depth}`] =
      inspect(cause, { depth: 20, showHidden: true }) + String((cause as Error).stack) + bytesOf(cause)
    cause = (cause as Error).cause
  }
  return views
}

/** Bytes in an error (a parser's packet) print as numbers, so they are decoded to text before the check. */
function bytesOf(error: unknown): string {
  return Object.values(error as object)
    .filter((value) => value instanceof Uint8Array)
    .map((bytes) => Buffer.from(bytes as Uint8Array).toString('latin1'))
    .join()
}

const has = (text: string) => text.toLowerCase().includes(key.toLowerCase())

async function outcomes(llm: LLM, name: string): Promise<unknown[]> {
  const errorOf = (error: unknown) => error
  const stream = llm.stream(name)
  const read = async () => {
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    return { ...(await stream.response), chunks }
  }
  return [await llm.agenerate(name).catch(errorOf), await read().catch(errorOf)]
}

for (const vendor of vendors) {
  test(`${vendor}: a key shows in nothing, wherever the server echoes it`, async (t) => {
    await using server = await serveEchoes()
    await using llm = openLLM(vendor, server.url, {
      apiKey: key,
      retry: { attempts: 2, minDelayMs: 1, maxDelayMs: 5 },
      timeouts: { firstChunkMs: 2_000, idleMs: 2_000 },
    })
    let looks = 0
    let errors = 0
    const leaks: string[] = []
    for (const name of Object.keys(echoes)) {
      for (const outcome of await outcomes(llm, name)) {
        if (isConvokeError(outcome)) errors++
        else assert.ok(!(outcome instanceof Error), `${name}: ${inspect(outcome)}`)
        for (const [view, text] of Object.entries(shown(outcome))) {
          looks++
          if (has(text)) leaks.push(`${name}, ${view}: …${around(text)}…`)
        }
      }
    }
    if (has(inspect(llm, { depth: 10, showHidden: true }))) leaks.push('inspect(llm)')
    await t.annotate(
      `${vendor}: ${Object.keys(echoes).length} echoes, ${errors} errors, ${looks} views, ${leaks.length} with the key`,
    )
    assert.equal(leaks.join('\n'), '')
  })
}

function around(text: string): string {
  const at = text.toLowerCase().indexOf(key.toLowerCase())
  return text.slice(Math.max(0, at - 60), at + key.length + 20).replaceAll('\n', '⏎')
}

test('a process that prints everything, with the SDKs in debug mode, prints no key', async (t) => {
  await using server = await serveEchoes()
  const client = forkModule('keys-client.ts', [server.url, ...Object.keys(echoes)], {
    env: { CAMPAIGN_KEY: key, OPENAI_LOG: 'debug', ANTHROPIC_LOG: 'debug', DEBUG: '*', NODE_DEBUG: '' },
  })
  assert.equal(await client.exited, 0, client.stderr().slice(-2_000))
  const printed = client.stdout() + client.stderr()
  await t.annotate(
    `debug mode: ${printed.length} characters printed, the key ${has(printed) ? 'among them' : 'in none'}`,
  )
  assert.ok(printed.length > 100_000, printed)
  const lines = printed.split('\n').filter(has)
  assert.deepEqual([...new Set(lines.map((line) => line.trim()))].slice(0, 20), [])
})
