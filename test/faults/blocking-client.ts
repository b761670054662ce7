/** A script that makes ten thousand blocking calls, and reports the resources that it holds. */
import { readdirSync } from 'node:fs'
import { createLLM } from 'convoke'
import type { LLM } from 'convoke'

export interface Held {
  rssBytes: number
  heapBytes: number
  descriptors: number
  listeners: number
}

const [url = ''] = process.argv.slice(2)
const make = (): LLM =>
  createLLM('openai', { apiKey: 'key', baseURL: `${url}/v1`, model: 'gpt-4o-mini', retry: { attempts: 1 } })
const llm = make()

function held(): Held {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return {
    rssBytes: rss,
    heapBytes: heapUsed,
    descriptors: readdirSync('/proc/self/fd').length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  }
}

/**
 * Alternates between a call, a whole stream, a stream that is left, a call that fails, and an LLM that is used once.
 */
function call(number: number): void {
  switch (number % 5) {
    case 0:
      for (const { content } of llm.generate('a stream', { stream: true })) if (content === 'x') break
      return
    case 1:
      for (const { content } of llm.generate('leave it', { stream: true })) if (content) break
      return
    case 2:
      try {
        llm.generate('fail')
      } catch {
        return
      }
      throw new Error('It did not fail.')
    case 3:
      make().generate('Hi')
      return
    default:
      llm.generate('Hi')
  }
}

function calls(count: number): Held {
  for (let number = 0; number < count; number++) call(number)
  return held()
}

const before = calls(12_000)
const startedAt = performance.now()
const after = calls(10_000)
const callsMs = performance.now() - startedAt
process.send?.({ before, after, callsMs }, () => process.disconnect())
