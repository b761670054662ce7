/**
 * A client whose clock is moved by an hour while its calls run: `clock-client.ts VENDOR URL`. `Date` is replaced before
 * the library is loaded, to simulate a correction of the system's clock.
 */
import { tell } from './fork-module.ts'
import type { Vendor } from './vendors.ts'

const hourMs = 3_600_000
let shiftMs = 0
const RealDate = Date

class MovedDate extends RealDate {
  constructor(...given: [] | ConstructorParameters<typeof RealDate>) {
    super(...((given.length ? given : [RealDate.now() + shiftMs]) as ConstructorParameters<typeof RealDate>))
  }
  static override now(): number {
    return RealDate.now() + shiftMs
  }
}
globalThis.Date = MovedDate as DateConstructor

const { isConvokeError } = await import('convoke')
const { openLLM } = await import('./vendors.ts')
const [vendor, url] = process.argv.slice(2) as [Vendor, string]
const timeouts = { connectMs: 2_000, firstChunkMs: 400, idleMs: 400, totalMs: 4_000 }
const llm = openLLM(vendor, url, { timeouts })

/** Runs a call, and reports how and when it ended. */
async function timed(call: () => Promise<unknown>): Promise<{ ended: string; tookMs: number }> {
  const startedAt = performance.now()
  const ended = await call().then(
    () => 'success',
    (error: unknown) => (isConvokeError(error) ? `${error.code} ${error.phase ?? ''}`.trim() : String(error)),
  )
  return { ended, tookMs: performance.now() - startedAt }
}

/** Reads a stream, and moves the clock at its fifth and its tenth chunk. */
const stream = (prompt: string, first: number, second: number) => async () => {
  let chunks = 0
  for await (const { content } of llm.stream(prompt, { retry: { attempts: 1 } })) {
    if (content) chunks++
    if (chunks === 5) shiftMs = first
    if (chunks === 10) shiftMs = second
  }
}

/** Moves the clock while a call waits. */
const later = (shift: number, call: () => Promise<unknown>) => () => {
  setTimeout(() => (shiftMs = shift), 150)
  return call()
}

await llm.agenerate('Hi')
const results: Record<string, unknown> = {}
for (const [name, shift] of [
  ['ahead', hourMs],
  ['back', -hourMs],
] as const) {
  shiftMs = 0
  results[`stream ${name}`] = await timed(stream('paced', shift, 0))
  shiftMs = 0
  results[`stall ${name}`] = await timed(stream('stall', shift, shift))
  shiftMs = 0
  results[`first chunk ${name}`] = await timed(
    later(shift, () => llm.stream('silent', { retry: { attempts: 1 } }).response),
  )
  shiftMs = 0
  results[`back-off ${name}`] = await timed(later(shift, () => llm.agenerate(`busy ${name}`)))
  shiftMs = 0
  results[`total ${name}`] = await timed(
    later(shift, () =>
      llm.agenerate('silent', { timeouts: { firstChunkMs: 60_000, idleMs: 60_000, totalMs: 600 } }),
    ),
  )
}
tell(results)
process.disconnect()
