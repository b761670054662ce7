/** The body of a redirect never ends: the reply arrives nevertheless, and the body is not read forever. */
import assert from 'node:assert/strict'
import type http from 'node:http'
import { test } from 'vitest'
import { megabytes } from './peak-memory.ts'
import { serve } from './serve.ts'
import { openLLM, plainOf, understand, vendors } from './vendors.ts'

/** The longest time for the rest of a body, the same as after the end of a reply. */
const drainMs = 1_000
const block = Buffer.alloc(1_048_576, 'x')

for (const vendor of vendors) {
  test(`${vendor}: the body of a redirect that does not end is closed`, async (t) => {
    const first = { sentBytes: 0, closedAt: 0 }
    const pour = (response: http.ServerResponse) => {
      while (!response.destroyed) {
        first.sentBytes += block.length
        if (!response.write(block)) return void response.once('drain', () => pour(response))
      }
    }
    await using server = await serve((request, response, body) => {
      const path = request.url ?? ''
      const { vendor } = understand(path, body)
      if (path.startsWith('/moved')) return response.end(plainOf(vendor, 'Fine.'))
      response.writeHead(307, { location: `/moved${path}` })
      response.on('close', () => (first.closedAt = performance.now()))
      pour(response)
    })
    await using llm = openLLM(vendor, server.url, { retry: { attempts: 1 } })
    assert.equal((await llm.agenerate('Hi')).content, 'Fine.')
    const repliedAt = performance.now()
    while (first.closedAt === 0 && performance.now() - repliedAt < 2 * drainMs) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const closed =
      first.closedAt > 0
        ? `closed ${Math.max(0, first.closedAt - repliedAt).toFixed(0)} ms after the reply`
        : 'still open'
    await t.annotate(
      `redirect without an end, ${vendor}: ${megabytes(first.sentBytes)} MB of its body sent, ${closed}`,
    )
    assert.ok(first.closedAt > 0, closed)
  })
}
