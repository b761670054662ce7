/** A call of a combined LLM: it makes calls of the members, ends them together, and adds up what they cost. */
import { beginCall } from '../threads/calls-in-flight.ts'
import type { Backend, CallScope, PromptFor, PendingCall } from '../llm/backend.ts'
import type { CallStart } from '../policies/total-clock.ts'
import { emptyResponse } from '../response/response-builder.ts'
import { ConvokeError, abortedError, finishReasonOfError, isConvokeError, messageOf } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { onAbort, unlessAborted } from '../policies/cancellation.ts'
import { plainTextDefaults, settingsOf, mergeOptions } from '../options/settings.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse, OtherAttempt } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/** How a combinator answers a call by calls of its members. Without a sink it asks for the whole reply. */
export type CombinedWork = (call: CombinedCall, sink: StreamSink | undefined) => Promise<GenerateResponse>

export interface CombinedContext {
  provider: string
  model: string | undefined
  prompt: PromptFor
  options: GenerateOptions
  /** The options that are equal in all members. */
  defaults: GenerateOptions
  scope: CallScope
  work: CombinedWork
  onEnd: () => void
}

/** A member's call in flight. */
export interface MemberRun {
  reply: Promise<GenerateResponse>
  running: PendingCall
  cancel(reason: string): void
}

export class CombinedCall implements PendingCall {
  readonly options: GenerateOptions
  readonly #context: CombinedContext
  readonly #controller = new AbortController()
  readonly #running = new Set<PendingCall>()
  readonly #otherAttempts: OtherAttempt[] = []
  /** The start that all members share when the call itself has a `totalMs`. Otherwise each member keeps its own limit. */
  readonly #callStart: CallStart | undefined
  /** The member's call whose reply is the likeliest to be the reply of this call. */
  #current: PendingCall | undefined
  #finished: GenerateResponse | undefined

  constructor(context: CombinedContext) {
    this.#context = context
    const { signal: _signal, ...options } = context.options
    this.options = options
    if (options.timeouts?.totalMs !== undefined) this.#callStart = context.scope.callStart ?? {}
  }

  get bufferSize(): number {
    return settingsOf(this.mergedOptions).stream.bufferSize
  }

  /** The options of the call, merged over those that are equal in all members. */
  get mergedOptions(): GenerateOptions {
    const { defaults, scope } = this.#context
    return mergeOptions(scope.isPlainText ? plainTextDefaults(defaults) : defaults, this.options)
  }

  get provider(): string {
    return this.#current?.provider ?? this.#context.provider
  }

  /** Aborts when the call is cancelled. Its reason is the error of the call. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The prompt of all members. */
  get prompt(): PromptFor {
    return this.#context.prompt
  }

  get scope(): CallScope {
    return this.#context.scope
  }

  /** The milliseconds that are left of the call's own `totalMs`; Infinity when it has none. */
  get leftMs(): number {
    const { totalMs = Infinity } = this.options.timeouts ?? {}
    const { startedAtMs = performance.now() } = this.#callStart ?? {}
    return totalMs - (performance.now() - startedAtMs)
  }

  cancel(reason?: unknown): void {
    if (this.#finished || this.signal.aborted) return
    this.#controller.abort(abortedError(reason, { provider: this.provider }))
    for (const running of this.#running) running.cancel(reason)
  }

  partial(): GenerateResponse {
    return this.#finished ?? this.#withOtherAttempts(this.#current?.partial() ?? this.#noResponse())
  }

  generate(): Promise<GenerateResponse> {
    return this.#run(undefined)
  }

  run(sink: StreamSink): Promise<GenerateResponse> {
    return this.#run(sink)
  }

  /**
   * Begins a call of a member.
   * @param handsOver see `CallScope`
   */
  start(member: Backend, sink: StreamSink | undefined, handsOver?: CallScope['handsOver']): MemberRun {
    this.signal.throwIfAborted()
    const { prompt, scope } = this.#context
    const child = member.call(prompt, this.options, {
      isPart: true,
      ...(scope.isPlainText ? { isPlainText: true } : {}),
      ...(this.#callStart ? { callStart: this.#callStart } : {}),
      ...(handsOver ? { handsOver } : {}),
    })
    this.#running.add(child)
    this.#current = child
    const reply = (sink ? child.run(sink) : child.generate()).finally(() => this.#running.delete(child))
    return { reply, running: child, cancel: (reason) => child.cancel(reason) }
  }

  /** Makes one of several running calls the one whose reply becomes the reply of this call. */
  makeCurrent({ running }: MemberRun): void {
    this.#current = running
  }

  /** Begins a call of a member, and waits for its reply. */
  async ask(member: Backend, sink: StreamSink | undefined, handsOver?: CallScope['handsOver']) {
    return this.start(member, sink, handsOver).reply
  }

  /** Waits for work that cannot listen to a signal, until the call is cancelled. */
  async unlessEnded<T>(work: Promise<T>): Promise<T> {
    return unlessAborted(this.signal, work)
  }

  /** Records a member's error that does not end the call, with what it cost: the reply lists it in `otherAttempts`. */
  recordFailure(error: ConvokeError, { provider, model }: Backend): void {
    const { partial = this.#noResponse(provider, model), attempts, code } = error
    this.recordReply(partial, attempts, code)
  }

  /**
   * Records a member's reply that is not the reply of this call, with what it cost.
   * @param attempts all requests of the member's call, those of its own `otherAttempts` included
   */
  recordReply(reply: GenerateResponse, attempts: number, code: ErrorCode = 'cancelled'): void {
    const { provider, model, usage, costUsd, otherAttempts = [] } = reply
    const cost = costUsd === undefined ? {} : { costUsd }
    const own = attempts - attemptsOf(otherAttempts)
    this.#otherAttempts.push(...otherAttempts, { provider, model, code, usage, ...cost, attempts: own })
  }

  async #run(sink: StreamSink | undefined): Promise<GenerateResponse> {
    const { options, scope, work, onEnd } = this.#context
    const { signal } = options
    let stopListening = () => {}
    const endCall = scope.isPart ? () => {} : beginCall()
    try {
      stopListening = onAbort(signal, (reason) => this.cancel(reason))
      this.signal.throwIfAborted()
      this.#finished = this.#withOtherAttempts(await work(this, sink))
      return this.#finished
    } catch (error) {
      throw this.#errorOf(error)
    } finally {
      stopListening()
      endCall()
      onEnd()
    }
  }

  /** The error of the call, with the cost of all members. */
  #errorOf(thrown: unknown): ConvokeError {
    const error = isConvokeError(thrown) ? thrown : this.#unexpectedError(thrown)
    // The error that ended the call ended all members alike, and is not one that came before it.
    const isEnded = this.signal.aborted
    const failed = this.#otherAttempts.filter(
      ({ code }) => code !== 'cancelled' && !(isEnded && code === error.code),
    )
    if (failed.length > 0) {
      const names = failed.map(({ provider, code }) => `${provider} (${code})`)
      error.message += ` Before it failed: ${names.join(', ')}.`
    }
    return error.amend({
      attempts: error.attempts + attemptsOf(this.#otherAttempts),
      partial: this.#withOtherAttempts(error.partial ?? this.#failedResponse(error)),
    })
  }

  /** A function that the user gave to the combinator threw, or there is a bug. */
  #unexpectedError(thrown: unknown): ConvokeError {
    const { provider } = this.#context
    const message = messageOf(thrown)
    return new ConvokeError('configuration', `The combined call failed: ${message}`, {
      provider,
      cause: thrown,
    })
  }

  #failedResponse(error: ConvokeError): GenerateResponse {
    return { ...this.#noResponse(), finishReason: finishReasonOfError(error) }
  }

  #withOtherAttempts(response: GenerateResponse): GenerateResponse {
    // A copy, because others hold this object too: the member's own call, and in a shared call all who wait for it.
    return this.#otherAttempts.length === 0
      ? response
      : { ...response, otherAttempts: [...this.#otherAttempts, ...(response.otherAttempts ?? [])] }
  }

  /** The response of an LLM that has not answered. */
  #noResponse(provider = this.#context.provider, model = this.#context.model): GenerateResponse {
    return emptyResponse({ provider, model: this.options.model ?? model ?? '' })
  }
}

function attemptsOf(otherAttempts: readonly OtherAttempt[]): number {
  return otherAttempts.reduce((sum, { attempts }) => sum + attempts, 0)
}
