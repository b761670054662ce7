/**
 * The thread that runs the calls of one that waits, by the code of the async side. Its first act opens a file, by which
 * the waiting thread sees whether this one is still there; what it needs is loaded behind that, so that what is missing
 * can be told.
 */
import { openSync } from 'node:fs'
import { devNull } from 'node:os'
import { workerData } from 'node:worker_threads'
import { toPlainError } from '../src/plain-errors.ts'
import { cells } from '../src/protocol.ts'
import type { Answer, BlockingNews, BlockingOrder, BlockingStart, Verdict } from '../src/protocol.ts'
import { noteLostThreads } from '../src/store/lost-threads.ts'
import type { ResponseStream } from '../src/stream.ts'
import { StreamFlow } from './stream-flow.ts'

const { port, memory, lostThreads } = workerData as BlockingStart
noteLostThreads(...lostThreads)
Atomics.store(memory, cells.pledge, openSync(devNull, 'r') + 1)

const beatMs = 50

const twins = import('./twins.ts')
twins.catch(() => {})
/** The calls that run, and of streams how they flow. */
const running = new Map<number, StreamFlow | undefined>()
/** Of the schemas that were asked. */
const verdicts = new Map<number, (verdict: Verdict) => void>()
let beating: NodeJS.Timeout | undefined

port.on('message', (order: BlockingOrder) => {
  switch (order.kind) {
    case 'look':
      return
    case 'call':
      return void run(order)
    case 'judged':
      return verdicts.get(order.id)?.(order.verdict)
    case 'taken':
      running.get(order.id)?.take(order.count)
      return letFlow()
    case 'cancel':
      return running.get(order.id)?.cancel(order.reason)
    case 'forget':
      return void twins.then(({ forget }) => forget(order.id))
  }
})

async function run(order: Extract<BlockingOrder, { kind: 'call' }>): Promise<void> {
  const { id, method } = order
  const flow = method === 'stream' ? new StreamFlow((chunks) => tell({ id, chunks }), isAwaited) : undefined
  running.set(id, flow)
  beating ??= setInterval(() => Atomics.add(memory, cells.beats, 1), beatMs)
  letFlow()
  let end: Answer<unknown>
  try {
    const calls = await twins
    const ask = (value: unknown) => verdictOf(id, value)
    const value = await calls.run(order, ask, (given) => (flow ? flow.read(given as ResponseStream) : given))
    end = { isOk: true, value: plain(value) }
  } catch (error) {
    end = { isOk: false, error: toPlainError(error) }
  }
  running.delete(id)
  verdicts.delete(id)
  letFlow()
  if (running.size === 0) {
    clearInterval(beating)
    beating = undefined
  }
  tell({ id, chunks: flow?.rest() ?? [], end })
}

/**
 * Whether the waiting thread may be waiting for another call. Then this one must not wait to be read: that one may need
 * its slot, or its place in the session.
 */
function isAwaited(flow: StreamFlow): boolean {
  return [...running.values()].some((other) => other !== flow && (!other || other.isEmpty))
}

function verdictOf(id: number, value: unknown): Promise<Verdict> {
  return new Promise((resolve) => {
    verdicts.set(id, resolve)
    tell({ id, chunks: [], judge: { value } })
  })
}

function letFlow(): void {
  for (const flow of running.values()) flow?.goOn()
}

function tell(news: BlockingNews): void {
  try {
    port.postMessage(news)
  } catch (error) {
    const { id } = news
    port.postMessage({
      id,
      chunks: [],
      end: { isOk: false, error: toPlainError(error) },
    } satisfies BlockingNews)
  }
  Atomics.add(memory, cells.news, 1)
  Atomics.notify(memory, cells.news)
}

/** Errors inside a value lose their class on the way. */
function plain(value: unknown): unknown {
  const { storeError } = (value ?? {}) as { storeError?: unknown }
  return storeError ? { ...(value as object), storeError: toPlainError(storeError) } : value
}
