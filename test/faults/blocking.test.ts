/** Ten thousand blocking calls leave no resources behind. */
import assert from 'node:assert/strict'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'
import type { Held } from './blocking-client.ts'
import { forkModule } from './fork-module.ts'

test('10000 blocking calls leak neither memory nor listeners nor file descriptors', async (t) => {
  await using simulator = await startSimulator({
    reply: { text: 'A reply of some length, as replies go.' },
    fault: ({ prompt }) => (prompt === 'fail' ? { status: 503 } : undefined),
  })
  const client = forkModule('blocking-client.ts', [simulator.url], { execArgv: ['--expose-gc'] })
  const { before, after, callsMs } = await client.message<{ before: Held; after: Held; callsMs: number }>()
  assert.equal(await client.exited, 0, client.stderr())
  assert.equal(client.stderr(), '')
  const megabytes = (bytes: number) => (bytes / 1_048_576).toFixed(1)
  await t.annotate(
    `blocking: 10000 calls in ${(callsMs / 1_000).toFixed(1)} s; RSS ${megabytes(before.rssBytes)} MB after 12000 calls, ` +
      `${megabytes(after.rssBytes)} MB after 22000; heap of the waiting thread ${megabytes(before.heapBytes)} and ` +
      `${megabytes(after.heapBytes)} MB; descriptors ${before.descriptors} and ${after.descriptors}`,
  )
  assert.ok(after.rssBytes - before.rssBytes < 48 * 1_048_576, 'the process has grown')
  assert.ok(after.heapBytes - before.heapBytes < 4 * 1_048_576, 'the heap has grown')
  assert.ok(after.descriptors <= before.descriptors + 8, `${after.descriptors} descriptors`)
  assert.equal(after.listeners, before.listeners)
  await new Promise((resolve) => setTimeout(resolve, 250))
  assert.equal(simulator.openStreams, 0)
})
