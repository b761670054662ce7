/** One request of a call: its clocks, its chunks on their way to the reader, and the response that they make. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, isFreeOfCharge, finishReasonOfError, isConvokeError, messageOf } from '../errors.ts'
import type { ConvokeErrorOptions } from '../errors.ts'
import type { Settings } from '../options/settings.ts'
import { onAbort, unlessAborted } from '../policies/cancellation.ts'
import { StreamClock } from '../policies/stream-clock.ts'
import type { TotalClock } from '../policies/total-clock.ts'
import type { ChatRequest, Provider, ProviderChunk } from '../provider.ts'
import { outputOf } from '../request/structured-output.ts'
import { isContentChunk, responseBuilderFor } from '../response/response-builder.ts'
import type { ResponseBuilder } from '../response/response-builder.ts'
import type { StreamSink } from '../response/response-stream.ts'
import { holdProcess } from '../transport/hold-process.ts'
import type { ErrorCode, FinishReason, GenerateResponse, StartChunk, StreamChunk, Warning } from '../types.ts'
import { costUsd } from '../usage/cost.ts'
import type { AdmissionRequest } from './admission.ts'

type Finish = Extract<ProviderChunk, { type: 'finish' }>

/** What a call gives each of its attempts. */
export interface AttemptContext {
  /** The provider's name in errors and responses. */
  name: string
  request: ChatRequest
  settings: Settings
  warnings: Warning[]
  /** The reply must fit it. */
  schema: StandardSchemaV1 | undefined
  /** Ends the call. */
  signal: AbortSignal
  totalClock: TotalClock
  progress: CallProgress
}

/** How far the call got, over all its attempts. */
interface CallProgress {
  readonly startedAtMs: number
  /** Requests that were sent. */
  attempts: number
}

/** How an attempt asks: for the whole reply by the vendor's plain endpoint, or for chunks, which go to the sink. */
export interface AttemptMode {
  provider: Provider
  isWhole: boolean
  sink: StreamSink | undefined
}

export class Attempt implements AdmissionRequest {
  readonly isRetry: boolean
  /** The reply, when it is whole. */
  finished: GenerateResponse | undefined
  /** Whether the reader has seen something of this reply. */
  isVisible = false
  readonly #context: AttemptContext
  #builder: ResponseBuilder
  #firstChunkAtMs: number | undefined
  /** A start chunk waits for content, so that an attempt that fails before it leaves no trace. */
  #waitingStart: StartChunk | undefined
  /** Chunks with content. */
  #contentChunks = 0

  constructor(context: AttemptContext, isRetry: boolean) {
    this.#context = context
    this.isRetry = isRetry
    this.#builder = responseBuilderFor(context.name, context.request)
  }

  get request(): ChatRequest {
    return this.#context.request
  }

  get signal(): AbortSignal {
    return this.#context.signal
  }

  /** One request, ended by its clocks or by the call's signal even when the provider does not listen to them. */
  async run(mode: AttemptMode): Promise<GenerateResponse> {
    const { signal, totalClock, progress } = this.#context
    progress.attempts++
    totalClock.start()
    const controller = new AbortController()
    const stopListening = onAbort(signal, (reason) => controller.abort(reason))
    try {
      controller.signal.throwIfAborted()
      const reply = mode.isWhole
        ? this.#readWhole(mode, controller.signal)
        : this.#readStream(mode, controller)
      return await unlessAborted(controller.signal, reply)
    } catch (thrown) {
      if (controller.signal.aborted) throw controller.signal.reason
      const error = this.typed(thrown)
      // Closes the socket of an attempt that broke, whatever the provider left open.
      controller.abort(error)
      throw error
    } finally {
      stopListening()
    }
  }

  /** Tokens that the attempt cost although it failed. */
  spentTokens(error: unknown): number {
    return this.broken(this.typed(error)).usage.totalTokens
  }

  /** What has arrived so far. */
  partial(): GenerateResponse {
    return this.finished ?? this.#response('other')
  }

  /** What had arrived before an error. */
  broken(error: ConvokeError): GenerateResponse {
    // A request that never reached the vendor, or that the vendor refused, cost nothing.
    const mayHaveCost = this.#context.progress.attempts > 0 && !isFreeOfCharge(error)
    return this.#response(finishReasonOfError(error), this.#builder.hasBegun || mayHaveCost)
  }

  /** Whatever was thrown, as a ConvokeError: a provider that throws anything else is broken. */
  typed(thrown: unknown): ConvokeError {
    if (isConvokeError(thrown)) return thrown
    return this.error('malformed_response', `The provider failed: ${messageOf(thrown)}`, { cause: thrown })
  }

  error(code: ErrorCode, message: string, options: ConvokeErrorOptions = {}): ConvokeError {
    const { name, request } = this.#context
    return new ConvokeError(code, message, { provider: name, model: request.model, ...options })
  }

  /** Takes back what the reader has seen, since the reply begins again. */
  reset(sink: StreamSink | undefined, number: number, error: ConvokeError): void {
    if (this.isVisible) void sink?.push({ type: 'reset', content: '', attempt: number, error })
    this.isVisible = false
    this.#builder = responseBuilderFor(this.#context.name, this.#context.request)
    this.#firstChunkAtMs = undefined
  }

  async #readWhole(mode: AttemptMode, signal: AbortSignal): Promise<GenerateResponse> {
    for (const chunk of (await mode.provider.generate?.(this.request, signal)) ?? []) {
      this.#builder.add(chunk)
      if (chunk.type === 'finish') return this.#finish(chunk, signal)
    }
    throw this.error('stream_truncated', 'The provider gave a reply without a finish chunk.')
  }

  async #readStream({ provider, sink }: AttemptMode, controller: AbortController): Promise<GenerateResponse> {
    const { signal } = controller
    const clock = new StreamClock(this.#context.settings.timeouts, (phase, limitMs) => {
      const event = phase === 'idle' ? 'The stream stood still' : 'No content came'
      controller.abort(this.error('timeout', `${event} for ${phase}Ms ${limitMs}.`, { phase }))
    })
    // A provider that does not listen to its signal must not leave a timer behind, which would hold the process.
    const stopListening = onAbort(signal, () => clock.stop())
    try {
      for await (const given of provider.stream(this.request, signal)) {
        if (signal.aborted) throw signal.reason
        const chunks = 'type' in given ? [given] : given
        touch(clock, chunks)
        for (const chunk of chunks) {
          const room = this.#deliver(chunk, sink)
          if (room) await this.#waitForReader(room, clock, signal)
          if (chunk.type !== 'finish') continue
          // The vendor is done: the time that a schema takes is not its silence.
          clock.pause()
          return await this.#end(chunk, signal, sink)
        }
      }
      throw this.error('stream_truncated', 'The provider ended its stream without a finish chunk.')
    } finally {
      clock.stop()
      stopListening()
    }
  }

  /** Hands a chunk on. A promise means that the reader has enough for now. */
  #deliver(chunk: ProviderChunk, sink: StreamSink | undefined): Promise<void> | undefined {
    if (chunk.type === 'start') {
      if (this.#contentChunks > 0) this.#restartReply(sink)
      this.#waitingStart = chunk
    }
    this.#builder.add(chunk)
    if (!isContentChunk(chunk)) return undefined
    const { maxChunks } = this.#context.settings.stream
    if (++this.#contentChunks > maxChunks) {
      throw this.error('budget_exceeded', `The stream passed maxChunks ${maxChunks}.`)
    }
    this.#firstChunkAtMs ??= performance.now()
    if (!sink) return undefined
    this.isVisible = true
    if (this.#waitingStart) void sink.push(this.#waitingStart)
    this.#waitingStart = undefined
    return sink.push(chunk as StreamChunk)
  }

  /** A second start: the vendor (or a proxy that splices) began the reply again, which voids what came before. */
  #restartReply(sink: StreamSink | undefined): void {
    const message = 'The vendor took back what it had sent, and began its reply anew.'
    const error = this.error('stream_truncated', message)
    if (this.isVisible && this.#context.settings.retry.replay !== 'restart') throw error
    this.reset(sink, this.#context.progress.attempts, error)
  }

  /**
   * The reader is slow: the vendor is not to blame, the socket is not read, and a script that has nothing else to do
   * may end. A call that ends meanwhile makes room as well.
   */
  async #waitForReader(room: Promise<void>, clock: StreamClock, signal: AbortSignal): Promise<void> {
    const { totalClock } = this.#context
    clock.pause()
    holdProcess(signal, false)
    totalClock.hold(false)
    await room
    if (signal.aborted) throw signal.reason
    totalClock.hold(true)
    holdProcess(signal, true)
    clock.resume()
  }

  /** The end waits for no reader: it may pass the buffer's bound, and the slot is free at once. */
  async #end(chunk: Finish, signal: AbortSignal, sink: StreamSink | undefined): Promise<GenerateResponse> {
    const response = await this.#finish(chunk, signal)
    if (this.#waitingStart) void sink?.push(this.#waitingStart)
    void sink?.push({ ...chunk, usage: response.usage })
    return response
  }

  async #finish(chunk: Finish, signal: AbortSignal): Promise<GenerateResponse> {
    this.#firstChunkAtMs ??= performance.now()
    const response = this.#response(chunk.finishReason)
    const { schema } = this.#context
    // Before the finish chunk: a stream ends by it or by an error, never by both.
    if (schema && response.toolCalls.length === 0) response.output = await outputOf(response, schema)
    // The call may have ended while the schema took its time.
    if (signal.aborted) throw signal.reason
    this.finished = response
    return response
  }

  #response(finishReason: FinishReason, consumed = true): GenerateResponse {
    const { warnings, name, progress } = this.#context
    const { startedAtMs, attempts } = progress
    const totalMs = performance.now() - startedAtMs
    const firstChunkMs = this.#firstChunkAtMs === undefined ? totalMs : this.#firstChunkAtMs - startedAtMs
    const timing = { firstChunkMs, totalMs, attempts }
    const response = this.#builder.response(finishReason, { timing, warnings, consumed })
    const cost = costUsd(name, response.model, response.usage)
    if (cost !== undefined) response.costUsd = cost
    return response
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
