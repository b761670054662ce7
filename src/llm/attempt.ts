/** One request of a call: its clocks, its chunks on the way to the reader, and the response that the chunks make. */
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

/** The facts of a call that each of its attempts needs. */
export interface AttemptContext {
  /** The provider's name in errors and responses. */
  name: string
  request: ChatRequest
  settings: Settings
  warnings: Warning[]
  /** The schema that the reply must fit. */
  schema: StandardSchemaV1 | undefined
  /** Aborts when the call ends before its reply. */
  signal: AbortSignal
  totalClock: TotalClock
  progress: CallProgress
}

/** The progress of a call over all its attempts. */
interface CallProgress {
  readonly startedAtMs: number
  /** How many requests were sent. */
  attempts: number
}

/** How an attempt asks: for the whole reply, by the vendor's endpoint without streaming, or for chunks, which go to the sink. */
export interface AttemptMode {
  provider: Provider
  isWhole: boolean
  sink: StreamSink | undefined
}

export class Attempt implements AdmissionRequest {
  readonly isRetry: boolean
  /** The response, when the reply is complete. */
  finished: GenerateResponse | undefined
  /** Whether the reader has seen a chunk of this reply. */
  isVisible = false
  readonly #context: AttemptContext
  #builder: ResponseBuilder
  #firstChunkAtMs: number | undefined
  /** A start chunk that waits for content, so that the reader sees nothing of an attempt that fails before its content. */
  #pendingStart: StartChunk | undefined
  /** How many chunks had content. */
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

  /** Sends the request. Its clocks and the call's signal end it, even when the provider does not listen to its signal. */
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
      const error = this.toConvokeError(thrown)
      // This closes the socket, which the provider may have left open.
      controller.abort(error)
      throw error
    } finally {
      stopListening()
    }
  }

  /** The tokens that the failed attempt has cost. */
  spentTokens(error: unknown): number {
    return this.failedResponse(this.toConvokeError(error)).usage.totalTokens
  }

  /** The response of the chunks that have arrived so far. */
  partial(): GenerateResponse {
    return this.finished ?? this.#response('other')
  }

  /** The response of the chunks that had arrived before an error. */
  failedResponse(error: ConvokeError): GenerateResponse {
    // A request that did not reach the vendor, or that the vendor refused, cost nothing.
    const mayHaveCost = this.#context.progress.attempts > 0 && !isFreeOfCharge(error)
    return this.#response(finishReasonOfError(error), this.#builder.hasBegun || mayHaveCost)
  }

  /** The thrown value as a ConvokeError. A provider that throws any other value has a fault. */
  toConvokeError(thrown: unknown): ConvokeError {
    if (isConvokeError(thrown)) return thrown
    return this.error('malformed_response', `The provider failed: ${messageOf(thrown)}`, { cause: thrown })
  }

  error(code: ErrorCode, message: string, options: ConvokeErrorOptions = {}): ConvokeError {
    const { name, request } = this.#context
    return new ConvokeError(code, message, { provider: name, model: request.model, ...options })
  }

  /** Tells the reader that the chunks it has seen are void, because the reply begins again. */
  voidChunks(sink: StreamSink | undefined, number: number, error: ConvokeError): void {
    if (this.isVisible) void sink?.push({ type: 'reset', content: '', attempt: number, error })
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
      const event = phase === 'idle' ? 'Nothing arrived' : 'No content arrived'
      controller.abort(this.error('timeout', `${event} for ${phase}Ms ${limitMs}.`, { phase }))
    })
    // A provider may ignore its signal. The timer of its clock would keep the process from exiting then.
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
          // The vendor is done, and the time that a schema takes is not its silence.
          clock.pause()
          return await this.#finishStream(chunk, signal, sink)
        }
      }
      throw this.error('stream_truncated', 'The provider ended its stream without a finish chunk.')
    } finally {
      clock.stop()
      stopListening()
    }
  }

  /** Gives a chunk to the reader. The promise, if there is one, settles when the reader takes more. */
  #deliver(chunk: ProviderChunk, sink: StreamSink | undefined): Promise<void> | undefined {
    if (chunk.type === 'start') {
      if (this.#contentChunks > 0) this.#restartReply(sink)
      this.#pendingStart = chunk
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
    if (this.#pendingStart) void sink.push(this.#pendingStart)
    this.#pendingStart = undefined
    return sink.push(chunk as StreamChunk)
  }

  /** A second start chunk: the vendor, or a proxy that joins streams, began the reply again. The chunks before it are void. */
  #restartReply(sink: StreamSink | undefined): void {
    const message = 'The vendor discarded what it had sent, and began its reply again.'
    const error = this.error('stream_truncated', message)
    if (this.isVisible && this.#context.settings.retry.replay !== 'restart') throw error
    this.voidChunks(sink, this.#context.progress.attempts, error)
    this.isVisible = false
    this.#builder = responseBuilderFor(this.#context.name, this.#context.request)
    this.#firstChunkAtMs = undefined
  }

  /**
   * Waits for a slow reader. The stream's clock stops, because the delay is not the vendor's; the socket is not read; and
   * the call does not keep the process from exiting. The end of the call also ends this wait.
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

  /** The finish chunk does not wait for the reader, so that the slot is free at once: it may exceed the buffer's size. */
  async #finishStream(
    chunk: Finish,
    signal: AbortSignal,
    sink: StreamSink | undefined,
  ): Promise<GenerateResponse> {
    const response = await this.#finish(chunk, signal)
    if (this.#pendingStart) void sink?.push(this.#pendingStart)
    void sink?.push({ ...chunk, usage: response.usage })
    return response
  }

  async #finish(chunk: Finish, signal: AbortSignal): Promise<GenerateResponse> {
    this.#firstChunkAtMs ??= performance.now()
    const response = this.#response(chunk.finishReason)
    const { schema } = this.#context
    // The schema is checked before the finish chunk, since a stream ends by that chunk or by an error, never by both.
    if (schema && response.toolCalls.length === 0) response.output = await outputOf(response, schema)
    // The call may have been aborted during the check.
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

/**
 * Resets the stream's clock. Chunks without content are signs of life too, except token counts, which a vendor's ping may
 * carry.
 */
function touch(clock: StreamClock, chunks: readonly ProviderChunk[]): void {
  let isAlive = false
  for (const chunk of chunks) {
    if (isContentChunk(chunk)) return clock.touch(true)
    if (chunk.type !== 'usage') isAlive = true
  }
  if (isAlive) clock.touch(false)
}
