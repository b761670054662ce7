/** One call of an LLM: its retries, what ends it, and the error that it ends with. attempt.ts has one request of it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { abortedError, isConvokeError, messageOf } from '../errors.ts'
import type { ConvokeError } from '../errors.ts'
import type { Settings } from '../options/settings.ts'
import { onAbort, unlessAborted } from '../policies/cancellation.ts'
import { retry } from '../policies/retry.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import { TotalClock } from '../policies/total-clock.ts'
import type { ChatRequest, Provider } from '../provider.ts'
import type { StreamSink } from '../response/response-stream.ts'
import { beginCall } from '../threads/calls-in-flight.ts'
import type { GenerateResponse, Warning } from '../types.ts'
import type { Admission } from './admission.ts'
import { Attempt } from './attempt.ts'
import type { AttemptContext } from './attempt.ts'
import type { CallScope, PendingCall } from './backend.ts'

export interface CallContext {
  /** The provider's name in errors and responses. */
  name: string
  admission: Admission
  budget: RetryBudget
  settings: Settings
  request: ChatRequest
  warnings: Warning[]
  /** The reply must fit it. */
  schema: StandardSchemaV1 | undefined
  /** The user's signal. */
  signal: AbortSignal | undefined
  scope: CallScope
  /** The provider; a promise at first use, while it is loaded. */
  provider: () => Provider | Promise<Provider>
  /** Called when the call has ended, in whatever way. */
  onEnd: () => void
}

export class Call implements PendingCall {
  readonly #context: CallContext
  readonly #controller = new AbortController()
  readonly #attemptContext: AttemptContext
  #attempt: Attempt

  constructor(context: CallContext) {
    this.#context = context
    const { name, request, settings, warnings, schema, scope } = context
    const { totalMs } = settings.timeouts
    const expire = () => this.#expire(totalMs)
    this.#attemptContext = {
      name,
      request,
      settings,
      warnings,
      schema,
      signal: this.#controller.signal,
      totalClock: new TotalClock(totalMs, scope.callStart ?? {}, expire),
      progress: { startedAtMs: performance.now(), attempts: 0 },
    }
    this.#attempt = new Attempt(this.#attemptContext, false)
  }

  get provider(): string {
    return this.#context.name
  }

  get bufferSize(): number {
    return this.#context.settings.stream.bufferSize
  }

  cancel(reason?: unknown): void {
    // The reply is whole already: a reader that leaves at its finish chunk cancels nothing.
    if (this.#attempt.finished) return
    const { name, request } = this.#context
    this.#controller.abort(abortedError(reason, { provider: name, model: request.model }))
  }

  partial(): GenerateResponse {
    return this.#attempt.partial()
  }

  /** The whole reply of a plain call, through the vendor's plain endpoint where it has one. */
  generate(): Promise<GenerateResponse> {
    return this.#run(undefined, true)
  }

  /** The same call as a stream; chunks go to the sink. */
  run(sink: StreamSink): Promise<GenerateResponse> {
    return this.#run(sink, false)
  }

  async #run(sink: StreamSink | undefined, isPlain: boolean): Promise<GenerateResponse> {
    const { signal: userSignal, admission, budget, settings, scope } = this.#context
    const { signal } = this.#controller
    const { replay, attempts } = settings.retry
    const end = scope.isPart ? () => {} : beginCall()
    const stopListening = onAbort(userSignal, (reason) => this.cancel(reason))
    try {
      signal.throwIfAborted()
      const provider = await this.#ready(signal)
      const mode = { provider, sink, isWhole: isPlain && provider.generate !== undefined }
      const policy = {
        ...settings.retry,
        attempts: replay === 'never' ? 1 : attempts,
        budget,
        mayRetry: (error: ConvokeError) =>
          this.#attempt.isVisible ? replay === 'restart' : !scope.handsOver?.(error),
        onRetry: (error: ConvokeError, number: number) => this.#restart(sink, number, error),
      }
      return await retry(() => admission.execute(this.#attempt, mode), policy, signal)
    } catch (error) {
      throw this.#failure(error)
    } finally {
      this.#attemptContext.totalClock.stop()
      stopListening()
      end()
      this.#context.onEnd()
    }
  }

  /** The provider, whose SDK may have to be loaded; an abort does not wait for that. */
  #ready(signal: AbortSignal): Provider | Promise<Provider> {
    const provider = this.#context.provider()
    return provider instanceof Promise ? this.#loaded(provider, signal) : provider
  }

  async #loaded(provider: Promise<Provider>, signal: AbortSignal): Promise<Provider> {
    try {
      return await unlessAborted(signal, provider)
    } catch (error) {
      if (signal.aborted) throw error
      const code = isConvokeError(error) ? error.code : 'configuration'
      const message = `The provider could not be made: ${messageOf(error)}`
      throw this.#attempt.error(code, message, { cause: error })
    }
  }

  #restart(sink: StreamSink | undefined, number: number, error: ConvokeError): void {
    this.#attempt.reset(sink, number, error)
    this.#attempt = new Attempt(this.#attemptContext, true)
  }

  #expire(totalMs: number): void {
    const message = `The call took longer than totalMs ${totalMs}.`
    this.#controller.abort(this.#attempt.error('timeout', message, { phase: 'total', isRetryable: false }))
  }

  /** The error that the caller gets, with what had arrived. */
  #failure(thrown: unknown): ConvokeError {
    let error = this.#attempt.typed(thrown)
    if (!error.provider) {
      const { code, message, cause, retryAfterMs } = error
      const wait = retryAfterMs === undefined ? {} : { retryAfterMs }
      error = this.#attempt.error(code, message, { cause, ...wait })
    }
    const { attempts } = this.#attemptContext.progress
    return error.amend({ attempts, partial: this.#attempt.broken(error) })
  }
}
