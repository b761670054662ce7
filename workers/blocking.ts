/**
 * The thread that runs the calls of one that waits, by the code of the async side. Its first act opens a file, by which
 * the waiting thread sees whether this one is still there; what it needs is loaded behind that, so that what is missing
 * can be told.
 */
import { workerData } from 'node:worker_threads'
import { announceLiveness } from '../src/blocking/liveness.ts'
import { totalTimeoutError } from '../src/errors.ts'
import { serializeError } from '../src/threads/serialize-error.ts'
import { cells } from '../src/blocking/protocol.ts'
import type { Answer } from '../src/threads/answer.ts'
import type { BlockingNews, BlockingOrder, BlockingStart, SchemaAnswer } from '../src/blocking/protocol.ts'
import { noteLostThreads } from '../src/threads/writer-liveness.ts'
import type { ResponseStream } from '../src/response/response-stream.ts'
import { StreamFlow } from '../src/blocking/thread/stream-flow.ts'
import type { Ask } from '../src/blocking/thread/replicas.ts'

const { port, memory, lostThreads } = workerData as BlockingStart
noteLostThreads(...lostThreads)
announceLiveness(memory)

const beatMs = 50
/** A call keeps `totalMs` itself, from when it left the line; this much later it is ended wherever it stands. */
const lineMs = 1_000

const twins = import('../src/blocking/thread/replicas.ts')
twins.catch(() => {})
interface Running {
  /** Of a stream. */
  flow: StreamFlow | undefined
  controller: AbortController
  totalMs: number
  dueAtMs: number
  /** What its schema was asked, and who waits for what it says. */
  questions: Map<number, (verdict: SchemaAnswer) => void>
}

const running = new Map<number, Running>()
/** The call that is waited for, as far as this thread was told. */
let awaited = 0
let lastQuestion = 0
let beating: NodeJS.Timeout | undefined

port.on('message', (order: BlockingOrder) => {
  switch (order.kind) {
    case 'look':
      return
    case 'call':
      return void run(order)
    case 'judged':
      return running.get(order.id)?.questions.get(order.question)?.(order.verdict)
    case 'taken':
      running.get(order.id)?.flow?.take(order.count)
      return letFlow()
    case 'cancel':
      return cancel(order.id, order.reason)
    case 'awaits':
      awaited = order.id
      return letFlow()
    case 'forget':
      return void twins.then(({ forget }) => forget(order.id))
  }
})

async function run(order: Extract<BlockingOrder, { kind: 'call' }>): Promise<void> {
  const { id, method, totalMs } = order
  const flow = method === 'stream' ? new StreamFlow((chunks) => tell({ id, chunks }), isAwaited) : undefined
  const dueAtMs = performance.now() + totalMs + lineMs
  const controller = new AbortController()
  const call: Running = { flow, controller, totalMs, dueAtMs, questions: new Map() }
  running.set(id, call)
  if (!flow) awaited = id
  beating ??= setInterval(beat, beatMs)
  letFlow()
  let end: Answer<unknown>
  try {
    const calls = await twins
    const ask = (value: unknown) => verdictOf(id, call, value)
    const read = (given: unknown) => (flow ? flow.read(given as ResponseStream) : given)
    const value = await calls.run(order, ask, read, controller.signal)
    end = { isOk: true, value: plain(value) }
  } catch (error) {
    end = { isOk: false, error: serializeError(error) }
  }
  running.delete(id)
  letFlow()
  if (running.size === 0) {
    clearInterval(beating)
    beating = undefined
  }
  tell({ id, chunks: flow?.rest() ?? [], end })
}

/** Says that this thread lives, and ends what takes too long. */
function beat(): void {
  Atomics.add(memory, cells.beats, 1)
  const nowMs = performance.now()
  for (const call of running.values()) {
    if (nowMs < call.dueAtMs || call.controller.signal.aborted) continue
    // The caller did not cancel it: its time was over, in line or while something was loaded.
    const message = `The call took longer than ${call.totalMs} ms (totalMs), its wait in line included.`
    call.controller.abort(totalTimeoutError(message))
  }
}

function cancel(id: number, reason: string): void {
  const call = running.get(id)
  if (call?.flow) call.flow.cancel(reason)
  else call?.controller.abort(reason)
}

/**
 * Whether the thread that waits does so for another call. Then this one must not wait to be read: that one may need its
 * slot, or its place in the session.
 */
function isAwaited(flow: StreamFlow): boolean {
  const other = running.get(awaited)
  return other !== undefined && other.flow !== flow && (!other.flow || other.flow.isEmpty)
}

function verdictOf(id: number, call: Running, value: unknown): ReturnType<Ask> {
  const number = ++lastQuestion
  return new Promise((resolve) => {
    call.questions.set(number, (verdict) => resolve({ number, verdict }))
    tell({ id, chunks: [], judge: { number, value } })
  })
}

function letFlow(): void {
  for (const { flow } of running.values()) flow?.goOn()
}

function tell(news: BlockingNews): void {
  try {
    port.postMessage(news)
  } catch (error) {
    const { id } = news
    port.postMessage({
      id,
      chunks: [],
      end: { isOk: false, error: serializeError(error) },
    } satisfies BlockingNews)
  }
  Atomics.add(memory, cells.news, 1)
  Atomics.notify(memory, cells.news)
}

/** Errors inside a value lose their class on the way. */
function plain(value: unknown): unknown {
  const { storeError } = (value ?? {}) as { storeError?: unknown }
  return storeError ? { ...(value as object), storeError: serializeError(storeError) } : value
}
