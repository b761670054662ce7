/**
 * One vendor's client in a process of its own, so that its memory can be measured: `flood-client.ts VENDOR URL PLAY`.
 * It reports how the call ended, and the peak growth of its memory.
 */
import { isConvokeError } from 'convoke'
import type { LLM } from 'convoke'
import { tell } from './fork-module.ts'
import { peakBytes, resetPeak } from './peak-memory.ts'
import { openLLM } from './vendors.ts'
import type { Vendor } from './vendors.ts'

const [vendor, url, play = ''] = process.argv.slice(2) as [Vendor, string, string]
const pauseMs = 2_500
const retry = { attempts: 1 }

async function paused(llm: LLM): Promise<void> {
  let chunks = 0
  for await (const { content } of llm.stream('Hi')) {
    if (!content || ++chunks < 5) continue
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    tell({ code: 'paused', grownBytes: peakBytes() - before })
    // Asks the server how much it could send, before the socket closes.
    await new Promise((resolve) => process.once('message', resolve))
    break
  }
}

async function overwhelmed(llm: LLM): Promise<void> {
  const call = play.endsWith('plain') ? llm.agenerate('Hi') : llm.stream('Hi').response
  const startedAt = performance.now()
  const ended = await call.then(
    ({ content }) => ({ code: `a success of ${content.length} characters`, partial: '', message: '' }),
    (error: unknown) => ({
      code: isConvokeError(error) ? error.code : String(error),
      message: String(error),
      partial: isConvokeError(error) ? (error.partial?.content ?? '') : '',
    }),
  )
  tell({ ...ended, grownBytes: peakBytes() - before, tookMs: performance.now() - startedAt })
}

await openLLM(vendor, `${url}/warm/${vendor}`, { retry }).stream('Hi').response
globalThis.gc?.()
resetPeak()
const before = process.memoryUsage.rss()
// 256 MiB of blank lines take long. A lower limit proves the same in a quarter of the time.
const limits = play === 'bomb-blank-lines' ? { maxResponseBytes: 67_108_864 } : {}
const llm = openLLM(vendor, `${url}/${play}/${vendor}`, { retry, ...limits })
await (play.startsWith('flood') ? paused(llm) : overwhelmed(llm))
process.disconnect()
