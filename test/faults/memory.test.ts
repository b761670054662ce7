/** Paused readers and replies that are too large: memory stays within limits, and the error names the limit. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { isConvokeError } from 'convoke'
import { afterAll, test } from 'vitest'
import { forkModule } from './fork-module.ts'
import { megabytes } from './peak-memory.ts'
import { serve } from './serve.ts'
import { openLLM, streams, vendors } from './vendors.ts'
import type { Vendor } from './vendors.ts'

interface Outcome {
  code: string
  message: string
  partial: string
  grownBytes: number
  tookMs: number
}

interface Sent {
  sentBytes: number
  isClosed: boolean
}

const MiB = 1_048_576

const server = forkModule('flood-server.ts')
const { url } = await server.message<{ url: string }>()
afterAll(() => server.child.disconnect())

/** Runs one play with a fresh client process and a server process. */
async function run(
  play: string,
  vendor: Vendor,
  check: (outcome: Outcome, sent: () => Promise<Sent>) => Promise<void>,
): Promise<void> {
  const client = forkModule('flood-client.ts', [vendor, url, play], { execArgv: ['--expose-gc'] })
  try {
    const outcome = await client.message<Outcome>()
    await check(outcome, () => server.ask<Sent>('sent?'))
    if (play.startsWith('flood')) client.child.send('leave')
    assert.equal(await client.exited, 0, client.stderr())
    assert.equal(client.stderr(), '')
    assert.ok(await closed(() => server.ask<Sent>('sent?')), 'the server still has an open socket')
  } finally {
    client.child.kill()
  }
}

async function closed(ask: () => Promise<Sent>): Promise<boolean> {
  for (let at = 0; at < 25; at++) {
    if ((await ask()).isClosed) return true
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return false
}

const floods: readonly [play: string, pieces: string][] = [
  ['flood', 'pieces of 64 KiB'],
  ['flood-large', 'pieces of 1 MiB'],
]

for (const [[play, pieces], vendor] of floods.flatMap((flood) =>
  vendors.map((vendor) => [flood, vendor] as const),
)) {
  test(`${vendor}: a paused reader of 512 MB in ${pieces} stops the socket`, async (t) => {
    await run(play, vendor, async ({ grownBytes }, ask) => {
      const { sentBytes } = await ask()
      await t.annotate(
        `paused reader, ${pieces}, ${vendor}: RSS grew by ${megabytes(grownBytes)} MB, the server could send ${megabytes(sentBytes)} MB of 512`,
      )
      assert.ok(grownBytes <= 64 * MiB, `grew by ${megabytes(grownBytes)} MB`)
      // The limit covers the kernel's buffers of both sides, and the chunks that wait for the reader.
      assert.ok(sentBytes <= 32 * MiB, `sent ${megabytes(sentBytes)} MB`)
    })
  })
}

/** Replies that are too large, their form, and the memory that they may take. */
const plays: readonly [play: string, what: string, mostMiB: number, of?: readonly Vendor[]][] = [
  ['line', 'a line of 64 MiB in a stream', 128],
  ['endless-line', 'a line without an end in a stream', 128],
  // Ollama's events are lines, so it has no event of many lines.
  ['endless-event', 'an event without an end', 128, vendors.filter((vendor) => vendor !== 'ollama')],
  ['bomb-line', 'a gzip bomb of 1 GiB in one event', 128],
  ['bomb-blank-lines', 'a gzip bomb of 1 GiB in blank lines', 128],
  ['bomb-plain', 'a gzip bomb of 1 GiB inside a plain reply', 256],
  ['bomb-zeros-plain', 'a gzip bomb of 1 GiB of zeros as a plain reply', 256],
  ['endless-plain', 'a plain reply without an end', 256],
  ['endless-error-plain', 'the body of a 500 without an end', 256],
]

for (const [play, what, mostMiB, of = vendors] of plays) {
  for (const vendor of of) {
    // The status decides the error's code, whatever the body is.
    const wanted = play.includes('error') ? 'server_error' : 'malformed_response'
    test(`${vendor}: ${what} is ${wanted} within ${mostMiB} MiB`, async (t) => {
      await run(play, vendor, async ({ code, message, partial, grownBytes, tookMs }) => {
        await t.annotate(
          `${what}, ${vendor}: ${code} after ${tookMs.toFixed(0)} ms, RSS grew by ${megabytes(grownBytes)} MB`,
        )
        assert.equal(code, wanted, message)
        if (wanted === 'malformed_response') assert.match(message, /max(Line|Response)Bytes/)
        if (!play.endsWith('plain')) assert.equal(partial, 'Hi')
        assert.ok(grownBytes <= mostMiB * MiB, `grew by ${megabytes(grownBytes)} MB`)
        if (play === 'endless-event') assert.ok(tookMs < 5_000, `only after ${tookMs.toFixed(0)} ms`)
      })
    })
  }
}

const maxLineBytes = 200
/** The places where the network cuts a line of `length` characters and its line end. */
const cuts: Record<string, (length: number) => number[]> = {
  whole: () => [],
  'in two pieces': (length) => [length / 2],
  'with its line end behind it': (length) => [length],
}

/** The content of a line of exactly this length: an event, or a comment, whose length has no other limit. */
const longLines: Record<string, (vendor: Vendor, length: number) => { wire: string; content: string }> = {
  event(vendor, length) {
    const { text } = streams[vendor]
    const lines = text('').split('\n')
    const content = 'x'.repeat(length - Math.max(...lines.map((line) => line.length)))
    return { wire: text(content), content }
  },
  comment: (_, length) => ({ wire: `:${'x'.repeat(length - 1)}\n\n`, content: '' }),
}

for (const vendor of vendors) {
  for (const [kind, longLine] of Object.entries(longLines)) {
    for (const [how, cutsOf] of Object.entries(cuts)) {
      test(`${vendor}: the line of a ${kind} that is longer than maxLineBytes is refused, and none else, sent ${how}`, async () => {
        await using server = await serve((_, response, body) => {
          const length = Number(/characters: (\d+)/.exec(body)?.[1])
          const { head, text, tail, contentType } = streams[vendor]
          const { wire } = longLine(vendor, length)
          // Only the long line is cut, not the bytes before it.
          const lines = wire.split('\n')
          const before = lines.slice(
            0,
            lines.findIndex((line) => line.length === length),
          )
          const beginning = before.map((line) => `${line}\n`).join('').length
          const edges = [0, ...cutsOf(length).map((at) => beginning + at)]
          const pieces = edges.map((edge, at) => wire.slice(edge, edges[at + 1]))
          response.setHeader('content-type', contentType)
          void sendApart(response, [head + text('Hi'), ...pieces, tail])
        })
        await using llm = openLLM(vendor, server.url, { maxLineBytes, retry: { attempts: 1 } })
        const { content } = await llm.stream(`characters: ${maxLineBytes}`).response
        assert.equal(content, `Hi${longLine(vendor, maxLineBytes).content}`)
        const error: unknown = await llm.stream('characters: 400').response.catch((reason: unknown) => reason)
        assert.ok(isConvokeError(error), 'a success')
        assert.equal(error.code, 'malformed_response', error.message)
        assert.match(error.message, /maxLineBytes 200/)
        assert.equal(error.partial?.content, 'Hi')
      })
    }
  }
}

/** Sends each piece in a packet of its own. */
async function sendApart(response: ServerResponse, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    response.write(piece)
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  response.end()
}
