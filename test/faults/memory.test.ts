/** A reader that pauses, and replies that are too much: memory stays within bounds, and the error says what it was. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { forkModule } from './fork-module.ts'
import { megabytes } from './peak-memory.ts'
import { vendors } from './vendors.ts'
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
after(() => server.child.disconnect())

/** Plays one play with a fresh client, against a server that is a process too. */
async function run(
  play: string,
  vendor: Vendor,
  check: (outcome: Outcome, sent: () => Promise<Sent>) => Promise<void>,
): Promise<void> {
  const client = forkModule('flood-client.ts', [vendor, url, play], { execArgv: ['--expose-gc'] })
  try {
    const outcome = await client.message<Outcome>()
    await check(outcome, () => server.ask<Sent>('sent?'))
    if (play === 'flood') client.child.send('leave')
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

for (const vendor of vendors) {
  test(`${vendor}: a paused reader of 512 MB stops the socket`, async (t) => {
    await run('flood', vendor, async ({ grownBytes }, ask) => {
      const { sentBytes } = await ask()
      t.diagnostic(
        `paused reader, ${vendor}: RSS grew by ${megabytes(grownBytes)} MB, the server could send ${megabytes(sentBytes)} MB of 512`,
      )
      assert.ok(grownBytes <= 64 * MiB, `grew by ${megabytes(grownBytes)} MB`)
      // What the kernel holds for both sides, and what waits for the reader.
      assert.ok(sentBytes <= 32 * MiB, `sent ${megabytes(sentBytes)} MB`)
    })
  })
}

/** Too much, in what form, and how much memory it may take. */
const plays: readonly [play: string, what: string, mostMiB: number][] = [
  ['line', 'a line of 64 MiB in a stream', 128],
  ['endless-line', 'a line without an end in a stream', 128],
  ['bomb-line', 'a gzip bomb of 1 GiB in one event', 128],
  ['bomb-blank-lines', 'a gzip bomb of 1 GiB in blank lines', 128],
  ['bomb-plain', 'a gzip bomb of 1 GiB inside a plain reply', 256],
  ['bomb-zeros-plain', 'a gzip bomb of 1 GiB of zeros as a plain reply', 256],
  ['endless-plain', 'a plain reply without an end', 256],
  ['endless-error-plain', 'the body of a 500 without an end', 256],
]

for (const [play, what, mostMiB] of plays) {
  for (const vendor of vendors) {
    // A status is what it is, whatever its body.
    const wanted = play.includes('error') ? 'server_error' : 'malformed_response'
    test(`${vendor}: ${what} is ${wanted} within ${mostMiB} MiB`, async (t) => {
      await run(play, vendor, async ({ code, message, partial, grownBytes, tookMs }) => {
        t.diagnostic(
          `${what}, ${vendor}: ${code} after ${tookMs.toFixed(0)} ms, RSS grew by ${megabytes(grownBytes)} MB`,
        )
        assert.equal(code, wanted, message)
        if (wanted === 'malformed_response') assert.match(message, /max(Line|Response)Bytes/)
        if (!play.endsWith('plain')) assert.equal(partial, 'Hi')
        assert.ok(grownBytes <= mostMiB * MiB, `grew by ${megabytes(grownBytes)} MB`)
      })
    })
  }
}
