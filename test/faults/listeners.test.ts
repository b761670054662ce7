/** Many calls share a signal: it has as many listeners as calls are in flight, and none afterwards. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { startSimulator } from 'convoke/simulator'
import { test } from 'vitest'
import { openLLM, vendors } from './vendors.ts'
import { watchProcess } from './watch-process.ts'

const calls = 10_000
const atOnce = 100

test(`one signal over ${calls} calls keeps no listener`, async (t) => {
  const watch = watchProcess()
  await using simulator = await startSimulator({ reply: 'Fine.' })
  const { signal } = new AbortController()
  const llms = vendors.map((vendor) => openLLM(vendor, simulator.url, { maxConcurrent: atOnce, signal }))
  let inFlight = 0
  let most = 0
  let next = 0
  const look = () => {
    const listeners = getEventListeners(signal, 'abort').length
    most = Math.max(most, listeners)
    assert.ok(listeners <= inFlight, `${listeners} listeners, ${inFlight} calls`)
  }
  const work = async () => {
    for (let at = next++; at < calls; at = next++) {
      const llm = llms[at % llms.length]
      assert.ok(llm)
      inFlight++
      // Half of the calls are streams, and some of these are left early.
      const kind = Math.floor(at / llms.length) % 4
      if (kind < 2) assert.equal((await llm.agenerate('Hi')).content, 'Fine.')
      else if (kind === 2) assert.equal((await llm.stream('Hi').response).content, 'Fine.')
      else for await (const { content } of llm.stream('Hi')) if (content) break
      look()
      inFlight--
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  for (const llm of llms) assert.deepEqual(llm.activity, { running: 0, queued: 0 })
  await watch.stop()
  assert.deepEqual([watch.rejections, watch.warnings], [[], []])
  await t.annotate(
    `${calls} calls on one signal: at most ${most} listeners with ${atOnce} in flight, 0 afterwards`,
  )
  await Promise.all(llms.map((llm) => llm.close()))
})
