/** Asks one member after the other, until one answers. */
import type { Backend } from '../llm/backend.ts'
import type { ConvokeError } from '../errors.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import type { CombinedCall } from './combined-call.ts'
import type { FailoverRule } from './failover-rule.ts'

/** Whether another member may be asked after this error. None may when the call was cancelled or is out of time. */
export function helpsAfter(call: CombinedCall, error: ConvokeError, on: FailoverRule): boolean {
  if (call.signal.aborted || error.code === 'cancelled') return false
  const isOutOfTime = error.code === 'timeout' && error.phase === 'total' && call.leftMs <= 0
  if (isOutOfTime) return false
  return typeof on === 'function' ? on(error) : on.includes(error.code)
}

export interface TryOrder {
  on: FailoverRule
  replay: 'before-output' | 'restart'
  /** The member to ask next; undefined ends the search. */
  next(tried: ReadonlySet<Backend>): Backend | undefined | Promise<Backend | undefined>
  /** Whether another member could be asked without a wait. */
  hasNext(tried: ReadonlySet<Backend>): boolean
  /** Called when an attempt of this member failed. */
  onFailure?(member: Backend, error: ConvokeError): void
  /** Called when a member was asked. */
  onStart?(member: Backend, reply: Promise<GenerateResponse>): void
  /** Whether another member is asked at once, instead of a retry by the member that failed with this error. */
  handsOver(error: ConvokeError): boolean
}

export async function tryInOrder(
  call: CombinedCall,
  sink: StreamSink | undefined,
  order: TryOrder,
): Promise<GenerateResponse> {
  const replay = call.options.retry?.replay ?? order.replay
  const helps = (error: ConvokeError) => helpsAfter(call, error, order.on)
  const tried = new Set<Backend>()
  const view = sink && new VisibleSink(sink)
  let attempts = 0
  let member = (await order.next(tried)) as Backend
  for (;;) {
    tried.add(member)
    const current = member
    // Decides before each retry of the member: true ends its call, and the error below goes on to the next member.
    const handsOver = (error: ConvokeError) => {
      order.onFailure?.(current, error)
      const goesToNext = replay !== 'never' && order.handsOver(error) && helps(error) && order.hasNext(tried)
      return goesToNext || (call.scope.handsOver?.(error) ?? false)
    }
    try {
      const { reply } = call.start(member, view, handsOver)
      order.onStart?.(member, reply)
      return await reply
    } catch (thrown) {
      const error = thrown as ConvokeError
      order.onFailure?.(member, error)
      const mayGoOn = replay === 'restart' || (replay !== 'never' && !view?.isVisible)
      if (!mayGoOn || !helps(error)) throw error
      const next = await order.next(tried)
      if (!next) throw error
      call.recordFailure(error, member)
      attempts += error.attempts
      view?.reset(attempts + 1, error)
      member = next
    }
  }
}

/** A sink that remembers whether its reader has seen anything of the current reply. */
class VisibleSink implements StreamSink {
  readonly #sink: StreamSink
  isVisible = false

  constructor(sink: StreamSink) {
    this.#sink = sink
  }

  push(chunk: StreamChunk): Promise<void> | undefined {
    // `start` counts too: it comes with the first content, never alone.
    this.isVisible = chunk.type !== 'reset'
    return this.#sink.push(chunk)
  }

  reset(attempt: number, error: Error): void {
    if (this.isVisible) void this.push({ type: 'reset', content: '', attempt, error })
  }
}
