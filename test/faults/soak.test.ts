/** Thousands of mixed calls with random faults: each ends exactly once, and no resources are left. */
import assert from 'node:assert/strict'
import { startSimulator } from 'convoke/simulator'
import type { Fault } from 'convoke/simulator'
import { test } from 'vitest'
import { forkModule } from './fork-module.ts'

interface Left {
  heapBytes: number
  sockets: number
  timers: number
  listeners: number
}

interface Report {
  endings: Record<string, number>
  wrong: string[]
  after: Left
  activity: { running: number; queued: number }[]
}

test('3000 mixed calls under random faults end once each and leave nothing behind', async (t) => {
  await using simulator = await startSimulator({
    reply: { text: 'A reply of some length, so that it can break. '.repeat(4), paceMs: 1 },
    fault: ({ prompt }) => (JSON.parse(prompt) as { fault: Fault }).fault,
  })
  const client = forkModule('soak-client.ts', [simulator.url], { execArgv: ['--expose-gc'] })
  const before = await client.message<Left>()
  // Kept-alive sockets do not keep the client's process alive, so only the server can count them.
  const socketsBefore = simulator.openSockets
  const { endings, wrong, after, activity } = await client.message<Report>()
  const socketsAfter = simulator.openSockets
  const toldAt = performance.now()
  assert.equal(await client.exited, 0, client.stderr())
  const exitMs = performance.now() - toldAt
  const kilobytes = (bytes: number) => Math.round(bytes / 1_024)
  await t.annotate(
    `soak: ${Object.entries(endings)
      .map(([code, count]) => `${count} × ${code}`)
      .join(', ')}`,
  )
  await t.annotate(
    `soak: heap ${kilobytes(before.heapBytes)} KB after 500 calls, ${kilobytes(after.heapBytes)} KB after 3000; ` +
      `sockets at the server ${socketsBefore} and ${socketsAfter}; the process ended ${exitMs.toFixed(0)} ms later`,
  )
  assert.deepEqual(wrong, [])
  assert.equal(
    Object.values(endings).reduce((sum, count) => sum + count, 0),
    3_000,
  )
  // A run with few faults would prove little.
  assert.ok(Object.keys(endings).length >= 6, Object.keys(endings).join())
  assert.equal(client.stderr(), '')
  assert.ok(after.heapBytes - before.heapBytes < 4 * 1_048_576, 'the heap has grown')
  // There are at most as many sockets as simultaneous calls, and none that keeps the process alive.
  assert.ok(socketsAfter <= 100, `${socketsAfter} sockets`)
  assert.equal(after.sockets, 0)
  assert.ok(after.timers <= before.timers + 10, `${after.timers} timers`)
  assert.equal(after.listeners, before.listeners)
  for (const { running, queued } of activity) assert.deepEqual([running, queued], [0, 0])
  assert.ok(exitMs < 3_000, `${exitMs} ms until the process ended`)
})
