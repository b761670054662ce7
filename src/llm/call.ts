/** One call of an LLM: its retries, its time limit, its cancellation, and its error. Each request is an attempt, see attempt.ts. */
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
  retryBudget: RetryBudget
  settings: Settings
  request: ChatRequest
  warnings: Warning[]
  /** The schema that the reply must fit. */
  schema: StandardSchemaV1 | undefined
  /** The user's signal. */
  signal: AbortSignal | undefined
  scope: CallScope
  /** The provider; a promise of it while the vendor's SDK is loaded. */
  provider: () => Provider | Promise<Provider>
  /** Called when the call has ended, with a response or an error. */
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
    this.#attemptContext = {
      name,
      request,
      settings,
      warnings,
      schema,
      signal: this.#controller.signal,
      totalClock: new TotalClock(totalMs, scope.callStart ?? {}, () => this.#abortAfter(totalMs)),
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
    // The reply is complete: a reader that leaves at the finish chunk cancels nothing.
    if (this.#attempt.finished) return
    const { name, request } = this.#context
    this.#controller.abort(abortedError(reason, { provider: name, model: request.model }))
  }

  partial(): GenerateResponse {
    return this.#attempt.partial()
  }

  /** Asks for the whole reply, by the vendor's endpoint without streaming where there is one. */
  generate(): Promise<GenerateResponse> {
    return this.#run(undefined, true)
  }

  /** Asks for a stream, whose chunks go to the sink. */
  run(sink: StreamSink): Promise<GenerateResponse> {
    return this.#run(sink, false)
  }

  async #run(sink: StreamSink | undefined, mayBeWhole: boolean): Promise<GenerateResponse> {
    const { signal: userSignal, admission, scope } = this.#context
    const { signal } = this.#controller
    const endCall = scope.isPart ? () => {} : beginCall()
    const stopListening = onAbort(userSignal, (reason) => this.cancel(reason))
    try {
      signal.throwIfAborted()
      const provider = await this.#readyProvider(signal)
      const mode = { provider, sink, isWhole: mayBeWhole && provider.generate !== undefined }
      return await retry(() => admission.execute(this.#attempt, mode), this.#retryPolicy(sink), signal)
    } catch (error) {
      throw this.#failure(error)
    } finally {
      this.#attemptContext.totalClock.stop()
      stopListening()
      endCall()
      this.#context.onEnd()
    }
  }

  /** The rules for retries, see `RetryOptions`. A reply of which the reader has seen a part is repeated only by a restart. */
  #retryPolicy(sink: StreamSink | undefined): Parameters<typeof retry>[1] {
    const { retryBudget, settings, scope } = this.#context
    const { replay, attempts } = settings.retry
    return {
      ...settings.retry,
      attempts: replay === 'never' ? 1 : attempts,
      budget: retryBudget,
      mayRetry: (error) => (this.#attempt.isVisible ? replay === 'restart' : !scope.handsOver?.(error)),
      onRetry: (error, number) => this.#beginRetry(sink, number, error),
    }
  }

  /** The provider, whose SDK may have to be loaded. An abort does not wait for that. */
  #readyProvider(signal: AbortSignal): Provider | Promise<Provider> {
    const provider = this.#context.provider()
    return provider instanceof Promise ? this.#loadedProvider(provider, signal) : provider
  }

  async #loadedProvider(provider: Promise<Provider>, signal: AbortSignal): Promise<Provider> {
    try {
      return await unlessAborted(signal, provider)
    } catch (error) {
      if (signal.aborted) throw error
      const code = isConvokeError(error) ? error.code : 'configuration'
      const message = `The provider could not be made: ${messageOf(error)}`
      throw this.#attempt.error(code, message, { cause: error })
    }
  }

  #beginRetry(sink: StreamSink | undefined, number: number, error: ConvokeError): void {
    this.#attempt.voidChunks(sink, number, error)
    this.#attempt = new Attempt(this.#attemptContext, true)
  }

  #abortAfter(totalMs: number): void {
    const message = `The call took longer than totalMs ${totalMs}.`
    this.#controller.abort(this.#attempt.error('timeout', message, { phase: 'total', isRetryable: false }))
  }

  /** The error that the caller gets, with the partial response. */
  #failure(thrown: unknown): ConvokeError {
    let error = this.#attempt.toConvokeError(thrown)
    if (!error.provider) {
      const { code, message, cause, retryAfterMs } = error
      const wait = retryAfterMs === undefined ? {} : { retryAfterMs }
      error = this.#attempt.error(code, message, { cause, ...wait })
    }
    const { attempts } = this.#attemptContext.progress
    return error.amend({ attempts, partial: this.#attempt.failedResponse(error) })
  }
}
