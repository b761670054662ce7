/** One member after the other, until one answers. */
import type { Backend } from '../llm/backend.ts'
import { errorCodes } from '../errors.ts'
import type { ConvokeError, ErrorCode } from '../errors.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import type { CombinedCall } from './combined-call.ts'

/** After which errors another LLM is asked: their codes, or a function that says so. */
export type FailoverRule = readonly ErrorCode[] | ((error: ConvokeError) => boolean)

/**
 * The codes after which another vendor, model or key may help: the default of `fallback`, to be extended by its `on`. Not
 * among them: a request that is wrong anywhere (`invalid_request`, `configuration`), what the vendor would not say
 * (`content_filtered`), a reply that came whole and does not fit (`invalid_output`), and the caller's own doing.
 */
export const fallbackCodes: readonly ErrorCode[] = [
  'rate_limited',
  'overloaded',
  'server_error',
  'connection',
  'timeout',
  'stream_truncated',
  'malformed_response',
  'circuit_open',
  'queue_full',
  'authentication',
  'permission',
  'model_not_found',
  'context_length_exceeded',
  'missing_dependency',
]

export const isFailoverRule = (value: unknown): boolean =>
  typeof value === 'function' ||
  (Array.isArray(value) && value.every((code) => errorCodes.includes(code as ErrorCode)))
export const failoverRuleWanted =
  "a list of codes, such as [...fallbackCodes, 'invalid_output'], or a function"

/** Whether another member may be asked after this error; never when the call's own time is over. */
export function helpsAfter(call: CombinedCall, error: ConvokeError, on: FailoverRule): boolean {
  if (call.signal.aborted || error.code === 'cancelled') return false
  const isOutOfTime = error.code === 'timeout' && error.phase === 'total' && call.leftMs <= 0
  if (isOutOfTime) return false
  return typeof on === 'function' ? on(error) : on.includes(error.code)
}

export interface TryOrder {
  on: FailoverRule
  replay: 'before-output' | 'restart'
  /** Who is asked next; nobody, once it gives nothing. */
  next(tried: ReadonlySet<Backend>): Backend | undefined | Promise<Backend | undefined>
  /** Whether another one could be asked at once. */
  hasNext(tried: ReadonlySet<Backend>): boolean
  /** An attempt of this member failed. */
  onFailure?(member: Backend, error: ConvokeError): void
  onStart?(member: Backend, reply: Promise<GenerateResponse>): void
  /** Whether this error, before its own member tries again, is left to another one. */
  handsOver(error: ConvokeError): boolean
}

export async function tryInOrder(
  call: CombinedCall,
  sink: StreamSink | undefined,
  order: TryOrder,
): Promise<GenerateResponse> {
  const replay = call.options.retry?.replay ?? order.replay
  const tried = new Set<Backend>()
  const view = sink && new VisibleSink(sink)
  let attempts = 0
  let member = (await order.next(tried)) as Backend
  for (;;) {
    tried.add(member)
    const onStart = member
    const handsOver = (error: ConvokeError) => {
      order.onFailure?.(onStart, error)
      const isOurs = replay !== 'never' && order.handsOver(error) && helps(error) && order.hasNext(tried)
      return isOurs || (call.scope.handsOver?.(error) ?? false)
    }
    const helps = (error: ConvokeError) => helpsAfter(call, error, order.on)
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

/** A sink that knows what its reader has seen. */
class VisibleSink implements StreamSink {
  readonly #sink: StreamSink
  isVisible = false

  constructor(sink: StreamSink) {
    this.#sink = sink
  }

  push(chunk: StreamChunk): Promise<void> | undefined {
    // A start comes with the first content, never alone.
    this.isVisible = chunk.type !== 'reset'
    return this.#sink.push(chunk)
  }

  reset(attempt: number, error: Error): void {
    if (this.isVisible) void this.push({ type: 'reset', content: '', attempt, error })
  }
}
