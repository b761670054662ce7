/**
 * One call from the queue to its end: retry → gate → attempt under the clocks → provider. What a stream and a plain
 * call do the same way stands here once.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { beginCall } from '../threads/calls-in-flight.ts'
import { responseBuilderFor, isContentChunk } from '../response/response-builder.ts'
import type { ResponseBuilder } from '../response/response-builder.ts'
import {
  ConvokeError,
  isFreeOfCharge,
  abortedError,
  finishReasonOfError,
  isConvokeError,
  messageOf,
} from '../errors.ts'
import type { CallScope, PendingCall } from './backend.ts'
import type { Admission } from './admission.ts'
import type { Settings } from '../options/call-options.ts'
import { outputOf } from '../request/structured-output.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import { retry } from '../policies/retry.ts'
import type { RetryBudget } from '../policies/retry-budget.ts'
import { StreamClock } from '../policies/stream-clock.ts'
import { costUsd } from '../usage/cost.ts'
import type { ChatRequest, Provider, ProviderChunk } from '../provider.ts'
import type { StreamSink } from '../response/response-stream.ts'
import { holdProcess } from '../transport/hold-process.ts'
import type { FinishReason, GenerateResponse, StartChunk, StreamChunk, Timing, Warning } from '../types.ts'

export interface CallContext {
  name: string
  admission: Admission
  budget: RetryBudget
  settings: Settings
  request: ChatRequest
  warnings: Warning[]
  /** What the reply must fit. */
  schema: StandardSchemaV1 | undefined
  /** The user's signal. */
  signal: AbortSignal | undefined
  scope: CallScope
  /** The provider; a promise at first use, when it is loaded. */
  provider: () => Provider | Promise<Provider>
  /** The call has ended, one way or the other. */
  onEnd: () => void
}

/** How far the call got, for its timing. */
interface Progress {
  startedAtMs: number
  firstChunkAtMs: number | undefined
  attempts: number
}

/** What of a stream has been handed on. */
interface Delivery {
  /** A start chunk that waits for content, so that an attempt that fails before it leaves no trace. */
  start: StartChunk | undefined
  /** Chunks with content. */
  count: number
}

export class Call implements PendingCall {
  readonly #context: CallContext
  readonly #controller = new AbortController()
  readonly #progress: Progress = { startedAtMs: performance.now(), firstChunkAtMs: undefined, attempts: 0 }
  #builder: ResponseBuilder
  /** Whether the reader has seen something of the reply. */
  #isVisible = false
  #totalTimer: NodeJS.Timeout | undefined
  #finished: GenerateResponse | undefined

  constructor(context: CallContext) {
    this.#context = context
    this.#builder = responseBuilderFor(context.name, context.request)
  }

  get provider(): string {
    return this.#context.name
  }

  get bufferSize(): number {
    return this.#context.settings.stream.bufferSize
  }

  cancel(reason?: unknown): void {
    // The reply is whole already: a reader that leaves at its finish chunk cancels nothing.
    if (this.#finished) return
    this.#controller.abort(abortedError(reason, this.#labels))
  }

  partial(): GenerateResponse {
    return this.#finished ?? this.#response('other')
  }

  /** The whole reply of a plain call, through the vendor's plain endpoint where it has one. */
  generate(): Promise<GenerateResponse> {
    return this.#run(async (provider, signal) => {
      if (!provider.generate) return this.#readStream(provider, signal, undefined)
      for (const chunk of await provider.generate(this.#context.request, signal)) {
        this.#builder.add(chunk)
        if (chunk.type === 'finish') return this.#finish(chunk, signal)
      }
      throw this.#error('stream_truncated', 'The provider gave a reply without a finish chunk.')
    })
  }

  /** The same call as a stream; chunks go to the sink. */
  run(sink: StreamSink): Promise<GenerateResponse> {
    return this.#run((provider, signal) => this.#readStream(provider, signal, sink), sink)
  }

  async #run(
    attempt: (provider: Provider, signal: AbortSignal) => Promise<GenerateResponse>,
    sink?: StreamSink,
  ): Promise<GenerateResponse> {
    const { signal: userSignal, admission, budget, settings, request, scope } = this.#context
    const signal = this.#controller.signal
    const onAbort = () => this.cancel(userSignal?.reason)
    const spent = (error: unknown) => this.#broken(this.#typed(error)).usage.totalTokens
    const end = scope.isPart ? () => {} : beginCall()
    try {
      if (userSignal?.aborted) onAbort()
      userSignal?.addEventListener('abort', onAbort, { once: true })
      signal.throwIfAborted()
      const provider = await this.#ready(signal)
      return await retry(
        (number) =>
          admission.execute(() => this.#attempt(provider, attempt), {
            request,
            signal,
            isRetry: number > 1,
            spent,
          }),
        {
          ...settings.retry,
          attempts: settings.retry.replay === 'never' ? 1 : settings.retry.attempts,
          budget,
          mayRetry: (error) =>
            this.#isVisible ? settings.retry.replay === 'restart' : !scope.handsOver?.(error),
          onRetry: (error, number) => this.#restart(error, number, sink),
        },
        signal,
      )
    } catch (error) {
      throw this.#failure(error)
    } finally {
      clearTimeout(this.#totalTimer)
      userSignal?.removeEventListener('abort', onAbort)
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
    let onAbort = () => {}
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error)
      signal.addEventListener('abort', onAbort, { once: true })
    })
    try {
      return await Promise.race([provider, aborted])
    } catch (error) {
      if (signal.aborted) throw error
      const code = isConvokeError(error) ? error.code : 'configuration'
      const message = messageOf(error)
      throw this.#error(code, `The provider could not be made: ${message}`, { cause: error })
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** One request, ended by its clocks or by the call's signal even when the provider does not listen. */
  async #attempt(
    provider: Provider,
    attempt: (provider: Provider, signal: AbortSignal) => Promise<GenerateResponse>,
  ): Promise<GenerateResponse> {
    this.#progress.attempts++
    this.#startTotalClock()
    const controller = new AbortController()
    const callSignal = this.#controller.signal
    let onAbort = () => {}
    try {
      return await new Promise<GenerateResponse>((resolve, reject) => {
        onAbort = () => controller.abort(callSignal.reason)
        controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error), {
          once: true,
        })
        if (callSignal.aborted) return onAbort()
        callSignal.addEventListener('abort', onAbort, { once: true })
        attempt(provider, controller.signal).then(resolve, (error: unknown) => {
          reject(controller.signal.aborted ? (controller.signal.reason as Error) : this.#typed(error))
        })
      })
    } catch (error) {
      // Closes the socket of an attempt that broke, whatever the provider left open.
      if (!controller.signal.aborted) controller.abort(error)
      throw error
    } finally {
      callSignal.removeEventListener('abort', onAbort)
    }
  }

  async #readStream(
    provider: Provider,
    signal: AbortSignal,
    sink: StreamSink | undefined,
  ): Promise<GenerateResponse> {
    const { request, settings } = this.#context
    const expire = { abort: (_error: ConvokeError) => {} }
    const clock = new StreamClock(settings.timeouts, (phase, limitMs) => {
      const what = phase === 'idle' ? 'The stream stood still' : 'No content came'
      expire.abort(this.#error('timeout', `${what} for ${phase}Ms ${limitMs}.`, { phase }))
    })
    const expired = new Promise<never>((_, reject) => {
      expire.abort = reject
    })
    // A provider that does not listen to its signal must not leave a timer behind, which would hold the process.
    signal.addEventListener('abort', () => clock.stop(), { once: true })
    try {
      return await Promise.race([this.#pump(provider.stream(request, signal), signal, clock, sink), expired])
    } finally {
      clock.stop()
    }
  }

  async #pump(
    batches: AsyncIterable<ProviderChunk | readonly ProviderChunk[]>,
    signal: AbortSignal,
    clock: StreamClock,
    sink: StreamSink | undefined,
  ): Promise<GenerateResponse> {
    const delivery: Delivery = { start: undefined, count: 0 }
    for await (const given of batches) {
      if (signal.aborted) throw signal.reason
      const chunks = 'type' in given ? [given] : given
      touch(clock, chunks)
      for (const chunk of chunks) {
        const room = this.#deliver(chunk, delivery, sink)
        if (room) await this.#waitForReader(room, clock, signal)
        if (chunk.type !== 'finish') continue
        // The vendor is done: what a schema takes is not its silence.
        clock.pause()
        return this.#end(chunk, delivery, signal, sink)
      }
    }
    throw this.#error('stream_truncated', 'The provider ended its stream without a finish chunk.')
  }

  /** Hands a chunk on. A promise means that the reader has enough for now. */
  #deliver(
    chunk: ProviderChunk,
    delivery: Delivery,
    sink: StreamSink | undefined,
  ): Promise<void> | undefined {
    if (chunk.type === 'start') {
      if (delivery.count > 0) this.#restartReply(sink)
      delivery.start = chunk
    }
    this.#builder.add(chunk)
    if (!isContentChunk(chunk)) return undefined
    const { maxChunks } = this.#context.settings.stream
    if (++delivery.count > maxChunks) {
      throw this.#error('budget_exceeded', `The stream passed maxChunks ${maxChunks}.`)
    }
    this.#progress.firstChunkAtMs ??= performance.now()
    if (!sink) return undefined
    this.#isVisible = true
    if (delivery.start) void sink.push(delivery.start)
    delivery.start = undefined
    return sink.push(chunk as StreamChunk)
  }

  /** The end waits for no reader: it may pass the buffer's bound, and the slot is free at once. */
  async #end(
    chunk: Extract<ProviderChunk, { type: 'finish' }>,
    { start }: Delivery,
    signal: AbortSignal,
    sink: StreamSink | undefined,
  ): Promise<GenerateResponse> {
    const response = await this.#finish(chunk, signal)
    if (start) void sink?.push(start)
    void sink?.push({ ...chunk, usage: response.usage })
    return response
  }

  /**
   * The reader is slow: the vendor is not to blame, the socket is not read, and a script that has nothing else to do
   * may end. A call that ends meanwhile makes room, too.
   */
  async #waitForReader(room: Promise<void>, clock: StreamClock, signal: AbortSignal): Promise<void> {
    clock.pause()
    holdProcess(signal, false)
    this.#totalTimer?.unref()
    await room
    if (signal.aborted) throw signal.reason
    this.#totalTimer?.ref()
    holdProcess(signal, true)
    clock.resume()
  }

  #restart(error: ConvokeError, attempt: number, sink: StreamSink | undefined): void {
    this.#builder = responseBuilderFor(this.#context.name, this.#context.request)
    this.#progress.firstChunkAtMs = undefined
    if (this.#isVisible) void sink?.push({ type: 'reset', content: '', attempt, error })
    this.#isVisible = false
  }

  /** A second start: the vendor (or a proxy that splices) began the reply again, which voids what came before. */
  #restartReply(sink: StreamSink | undefined): void {
    const error = this.#error(
      'stream_truncated',
      'The vendor took back what it had sent, and began its reply anew.',
    )
    if (this.#isVisible && this.#context.settings.retry.replay !== 'restart') throw error
    this.#restart(error, this.#progress.attempts, sink)
  }

  #startTotalClock(): void {
    const { totalMs } = this.#context.settings.timeouts
    if (this.#totalTimer || totalMs > maxTimerMs) return
    const totalClock = this.#context.scope.totalClock ?? {}
    const spentMs = performance.now() - (totalClock.startedAtMs ??= performance.now())
    this.#totalTimer = setTimeout(
      () => {
        this.#controller.abort(
          this.#error('timeout', `The call took longer than totalMs ${totalMs}.`, {
            phase: 'total',
            isRetryable: false,
          }),
        )
      },
      Math.max(totalMs - spentMs, 0),
    )
  }

  async #finish(
    chunk: Extract<ProviderChunk, { type: 'finish' }>,
    signal: AbortSignal,
  ): Promise<GenerateResponse> {
    this.#progress.firstChunkAtMs ??= performance.now()
    const response = this.#response(chunk.finishReason)
    const { schema } = this.#context
    // Before the finish chunk: a stream ends by it or by an error, never by both.
    if (schema && response.toolCalls.length === 0) response.output = await outputOf(response, schema)
    // Ended while the schema took its time.
    if (signal.aborted) throw signal.reason
    this.#finished = response
    return response
  }

  #response(finishReason: FinishReason, consumed = true): GenerateResponse {
    const { warnings, name } = this.#context
    const response = this.#builder.response(finishReason, { timing: this.#timing(), warnings, consumed })
    const cost = costUsd(name, response.model, response.usage)
    if (cost !== undefined) response.costUsd = cost
    return response
  }

  #timing(): Timing {
    const { startedAtMs, firstChunkAtMs, attempts } = this.#progress
    const totalMs = performance.now() - startedAtMs
    return {
      firstChunkMs: firstChunkAtMs === undefined ? totalMs : firstChunkAtMs - startedAtMs,
      totalMs,
      attempts,
    }
  }

  /** The error that the caller gets, with what had arrived. */
  #failure(thrown: unknown): ConvokeError {
    let error = this.#typed(thrown)
    if (!error.provider) {
      const { code, message, cause, retryAfterMs } = error
      error = this.#error(code, message, { cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
    }
    return error.amend({ attempts: this.#progress.attempts, partial: this.#broken(error) })
  }

  /** What had arrived before an error. */
  #broken(error: ConvokeError): GenerateResponse {
    // What never reached the vendor, or was refused by it, cost nothing.
    const mayHaveCost = this.#progress.attempts > 0 && !isFreeOfCharge(error)
    const wasConsumed = this.#builder.hasBegun || mayHaveCost
    return this.#response(finishReasonOfError(error), wasConsumed)
  }

  #typed(error: unknown): ConvokeError {
    if (isConvokeError(error)) return error
    const message = messageOf(error)
    return this.#error('malformed_response', `The provider failed: ${message}`, { cause: error })
  }

  #error(
    code: ConstructorParameters<typeof ConvokeError>[0],
    message: string,
    options: ConstructorParameters<typeof ConvokeError>[2] = {},
  ): ConvokeError {
    return new ConvokeError(code, message, { ...this.#labels, ...options })
  }

  get #labels() {
    const { name, request } = this.#context
    return { provider: name, model: request.model }
  }
}

/** Text without content is a sign of life; counts alone, which a ping may carry, are none. */
function touch(clock: StreamClock, chunks: readonly ProviderChunk[]): void {
  let isAlive = false
  for (const chunk of chunks) {
    if (isContentChunk(chunk)) return clock.touch(true)
    if (chunk.type !== 'usage') isAlive = true
  }
  if (isAlive) clock.touch(false)
}
