/** One member after the other, until one answers. */
import type { Caller } from '../caller.ts'
import { errorCodes } from '../errors.ts'
import type { ConvokeError, ErrorCode } from '../errors.ts'
import type { StreamSink } from '../stream.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import type { CombinedCall } from './combined-call.ts'

/** After which errors another LLM is asked: their codes, or a function that says so. */
export type When = readonly ErrorCode[] | ((error: ConvokeError) => boolean)

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

export const isWhen = (value: unknown): boolean =>
  typeof value === 'function' ||
  (Array.isArray(value) && value.every((code) => errorCodes.includes(code as ErrorCode)))
export const whenWanted = "a list of codes, such as [...fallbackCodes, 'invalid_output'], or a function"

/** Whether another member may be asked after this error; never when the call's own time is over. */
export function helpsAfter(call: CombinedCall, error: ConvokeError, on: When): boolean {
  if (call.signal.aborted || error.code === 'cancelled') return false
  const isOutOfTime = error.code === 'timeout' && error.phase === 'total' && call.leftMs <= 0
  if (isOutOfTime) return false
  return typeof on === 'function' ? on(error) : on.includes(error.code)
}

export interface Turns {
  on: When
  replay: 'before-output' | 'restart'
  /** Who is asked next; nobody, once it gives nothing. */
  next(tried: ReadonlySet<Caller>): Caller | undefined | Promise<Caller | undefined>
  /** Whether another one could be asked at once. */
  hasNext(tried: ReadonlySet<Caller>): boolean
  /** An attempt of this member failed. */
  onFailure?(member: Caller, error: ConvokeError): void
  asked?(member: Caller, reply: Promise<GenerateResponse>): void
  /** Whether this error, before its own member tries again, is left to another one. */
  handsOver(error: ConvokeError): boolean
}

export async function askInTurn(
  call: CombinedCall,
  sink: StreamSink | undefined,
  turns: Turns,
): Promise<GenerateResponse> {
  const replay = call.options.retry?.replay ?? turns.replay
  const tried = new Set<Caller>()
  const view = sink && new View(sink)
  let attempts = 0
  let member = (await turns.next(tried)) as Caller
  for (;;) {
    tried.add(member)
    const asked = member
    const handsOver = (error: ConvokeError) => {
      turns.onFailure?.(asked, error)
      const isOurs = replay !== 'never' && turns.handsOver(error) && helps(error) && turns.hasNext(tried)
      return isOurs || (call.setting.handsOver?.(error) ?? false)
    }
    const helps = (error: ConvokeError) => helpsAfter(call, error, turns.on)
    try {
      const { reply } = call.start(member, view, handsOver)
      turns.asked?.(member, reply)
      return await reply
    } catch (thrown) {
      const error = thrown as ConvokeError
      turns.onFailure?.(member, error)
      const mayGoOn = replay === 'restart' || (replay !== 'never' && !view?.isVisible)
      if (!mayGoOn || !helps(error)) throw error
      const next = await turns.next(tried)
      if (!next) throw error
      call.lose(error, member)
      attempts += error.attempts
      view?.reset(attempts + 1, error)
      member = next
    }
  }
}

/** A sink that knows what its reader has seen. */
class View implements StreamSink {
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
