/**
 * The thread that runs the calls of one that waits, by the code of the async side. Its first act opens a file, by which
 * the waiting thread sees whether this one is still there; what it needs is loaded behind that, so that what is missing
 * can be told.
 */
import { workerData } from 'node:worker_threads'
import { pledge } from '../src/blocking/pledge.ts'
import { ConvokeError, isConvokeError } from '../src/errors.ts'
import { toPlainError } from '../src/plain-errors.ts'
import { cells } from '../src/protocol.ts'
import type { Answer, BlockingNews, BlockingOrder, BlockingStart, Verdict } from '../src/protocol.ts'
import { noteLostThreads } from '../src/store/writers.ts'
import type { ResponseStream } from '../src/stream.ts'
import { StreamFlow } from './stream-flow.ts'

const { port, memory, lostThreads } = workerData as BlockingStart
noteLostThreads(...lostThreads)
pledge(memory)

const beatMs = 50
/** A call keeps `totalMs` itself, from when it left the line; this much later it is ended wherever it stands. */
const lineMs = 1_000

const twins = import('./twins.ts')
twins.catch(() => {})
interface Running {
  /** Of a stream. */
  flow: StreamFlow | undefined
  controller: AbortController
  dueAtMs: number
  isOverdue: boolean
}

const running = new Map<number, Running>()
/** The call that is waited for, as far as this thread was told. */
let awaited = 0
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
  const call = { flow, controller, dueAtMs, isOverdue: false }
  running.set(id, call)
  if (!flow) awaited = id
  beating ??= setInterval(beat, beatMs)
  letFlow()
  let end: Answer<unknown>
  try {
    const calls = await twins
    const ask = (value: unknown) => verdictOf(id, value)
    const read = (given: unknown) => (flow ? flow.read(given as ResponseStream) : given)
    const value = await calls.run(order, ask, read, controller.signal)
    end = { isOk: true, value: plain(value) }
  } catch (error) {
    end = { isOk: false, error: toPlainError(call.isOverdue ? overdue(error, totalMs) : error) }
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

/** Says that this thread lives, and ends what takes too long. */
function beat(): void {
  Atomics.add(memory, cells.beats, 1)
  const nowMs = performance.now()
  for (const call of running.values()) {
    if (call.isOverdue || nowMs < call.dueAtMs) continue
    call.isOverdue = true
    call.controller.abort('totalMs is over')
  }
}

function cancel(id: number, reason: string): void {
  const call = running.get(id)
  if (call?.flow) call.flow.cancel(reason)
  else call?.controller.abort(reason)
}

/** The caller did not cancel it: its time was over, in line or while something was loaded. */
function overdue(error: unknown, totalMs: number): unknown {
  if (!isConvokeError(error) || error.code !== 'cancelled') return error
  const { code: _code, message: _message, name: _name, cause: _cause, partial, ...fields } = error
  return new ConvokeError(
    'timeout',
    `The call took longer than ${totalMs} ms (totalMs), its wait in line included.`,
    {
      ...fields,
      phase: 'total',
      isRetryable: false,
      ...(partial ? { partial: { ...partial, finishReason: 'error' } } : {}),
    },
  )
}

/**
 * Whether the thread that waits does so for another call. Then this one must not wait to be read: that one may need its
 * slot, or its place in the session.
 */
function isAwaited(flow: StreamFlow): boolean {
  const other = running.get(awaited)
  return other !== undefined && other.flow !== flow && (!other.flow || other.flow.isEmpty)
}

function verdictOf(id: number, value: unknown): Promise<Verdict> {
  return new Promise((resolve) => {
    verdicts.set(id, resolve)
    tell({ id, chunks: [], judge: { value } })
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
