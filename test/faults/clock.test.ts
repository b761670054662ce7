/** The system's clock is moved by an hour during a call: this changes no time-out and no back-off. */
import assert from 'node:assert/strict'
import { startSimulator } from 'convoke/simulator'
import { describe, test } from 'vitest'
import { forkModule } from './fork-module.ts'
import { vendors } from './vendors.ts'

interface Timed {
  ended: string
  tookMs: number
}

/** A busy machine is late by less than this, and the clock was moved by an hour. */
const allowanceMs = 1_000
const promised: Record<string, { ended: string; fromMs: number; toMs: number }> = {
  // The stream has 40 events, one every 15 ms.
  stream: { ended: 'success', fromMs: 400, toMs: 600 + 2 * allowanceMs },
  // The stream has 20 events, one every 15 ms, and then nothing until idleMs (400) is over.
  stall: { ended: 'timeout idle', fromMs: 640, toMs: 1_000 + allowanceMs },
  'first chunk': { ended: 'timeout firstChunk', fromMs: 399, toMs: 400 + allowanceMs },
  'back-off': { ended: 'success', fromMs: 999, toMs: 1_200 + allowanceMs },
  total: { ended: 'timeout total', fromMs: 599, toMs: 600 + allowanceMs },
}

describe.concurrent('a clock that jumps by an hour moves nothing', () => {
  for (const vendor of vendors) {
    test(vendor, async (t) => {
      await using simulator = await startSimulator({
        reply: ({ prompt }) => ({
          chunks: Array.from({ length: 40 }, (_, at) => `piece ${at} `),
          paceMs: prompt === 'paced' || prompt === 'stall' ? 15 : 0,
        }),
        fault: ({ prompt, attempt }) =>
          prompt === 'stall'
            ? { stallAfter: 0.5 }
            : prompt === 'silent'
              ? { latencyMs: 20_000 }
              : prompt.startsWith('busy') && attempt === 1
                ? { status: 503, retryAfter: 1 }
                : undefined,
      })
      const client = forkModule('clock-client.ts', [vendor, simulator.url])
      const results = await client.message<Record<string, Timed>>()
      const shown = Object.entries(results).map(
        ([what, { ended, tookMs }]) => `${what}: ${ended} after ${tookMs.toFixed(0)} ms`,
      )
      await t.annotate(`${vendor}, clock set by an hour: ${shown.join('; ')}`)
      assert.equal(shown.length, Object.keys(promised).length * 2)
      for (const [what, { ended, tookMs }] of Object.entries(results)) {
        const wanted = promised[what.replace(/ (ahead|back)$/, '')]
        assert.ok(wanted, what)
        assert.equal(ended, wanted.ended, what)
        assert.ok(tookMs >= wanted.fromMs && tookMs <= wanted.toMs, `${what}: ${tookMs} ms`)
      }
      assert.equal(await client.exited, 0, client.stderr())
      assert.equal(client.stderr(), '')
    })
  }
})
