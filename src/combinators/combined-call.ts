/** A call of a combined LLM: the calls of its members that are made for it, and what ends them all. */
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

/** How a combinator answers a call: by its members' calls. Without a sink the reply is asked for as a whole. */
export type CombinedWork = (call: CombinedCall, sink: StreamSink | undefined) => Promise<GenerateResponse>

export interface CombinedContext {
  provider: string
  model: string | undefined
  prompt: PromptFor
  options: GenerateOptions
  /** Of the members, as far as they agree. */
  defaults: GenerateOptions
  scope: CallScope
  work: CombinedWork
  onEnd: () => void
}

/** A member's call on its way. */
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
  /** Shared by all members where the call itself limits its time; else each keeps its own limit. */
  readonly #callStart: CallStart | undefined
  #current: PendingCall | undefined
  #finished: GenerateResponse | undefined

  constructor(context: CombinedContext) {
    this.#context = context
    const { signal: _signal, ...options } = context.options
    this.options = options
    if (options.timeouts?.totalMs !== undefined) this.#callStart = context.scope.callStart ?? {}
  }

  get bufferSize(): number {
    return settingsOf(this.settled).stream.bufferSize
  }

  /** Its options over what the members take, as far as they agree. */
  get settled(): GenerateOptions {
    const { defaults, scope } = this.#context
    return mergeOptions(scope.isPlainText ? plainTextDefaults(defaults) : defaults, this.options)
  }

  get provider(): string {
    return this.#current?.provider ?? this.#context.provider
  }

  /** Rejects, from now on or already, with why the call was ended. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What its members ask in common. */
  get prompt(): PromptFor {
    return this.#context.prompt
  }

  get scope(): CallScope {
    return this.#context.scope
  }

  /** Milliseconds that the call itself has left, by its own `totalMs`. */
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
    return this.#finished ?? this.#withOtherAttempts(this.#current?.partial() ?? this.#unanswered())
  }

  generate(): Promise<GenerateResponse> {
    return this.#run(undefined)
  }

  run(sink: StreamSink): Promise<GenerateResponse> {
    return this.#run(sink)
  }

  /**
   * Asks a member.
   * @param handsOver see `CallSetting`
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

  /** This one's reply is the call's, of several that run. */
  leads({ running }: MemberRun): void {
    this.#current = running
  }

  /** The same, awaited. */
  async ask(member: Backend, sink: StreamSink | undefined, handsOver?: CallScope['handsOver']) {
    return this.start(member, sink, handsOver).reply
  }

  /** Something that does not listen to the call's end, and need not be waited for then. */
  async unlessEnded<T>(work: Promise<T>): Promise<T> {
    return unlessAborted(this.signal, work)
  }

  /** A member's error is not the end of the call: what it cost is told with the reply. */
  recordFailure(error: ConvokeError, { provider, model }: Backend): void {
    const { partial = this.#unanswered(provider, model), attempts, code } = error
    this.recordReply(partial, attempts, code)
  }

  /** @param attempts those of LLMs that are lost with it included, as errors have it */
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
    const end = scope.isPart ? () => {} : beginCall()
    try {
      stopListening = onAbort(signal, (reason) => this.cancel(reason))
      this.signal.throwIfAborted()
      this.#finished = this.#withOtherAttempts(await work(this, sink))
      return this.#finished
    } catch (error) {
      throw this.#failure(error)
    } finally {
      stopListening()
      end()
      onEnd()
    }
  }

  #failure(thrown: unknown): ConvokeError {
    const error = isConvokeError(thrown) ? thrown : this.#broken(thrown)
    // What ended all of them is no failure of one before.
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
      partial: this.#withOtherAttempts(error.partial ?? this.#broke(error)),
    })
  }

  /** A function of the caller's, or a bug. */
  #broken(thrown: unknown): ConvokeError {
    const { provider } = this.#context
    const message = messageOf(thrown)
    return new ConvokeError('configuration', `The combined call failed: ${message}`, {
      provider,
      cause: thrown,
    })
  }

  #broke(error: ConvokeError): GenerateResponse {
    return { ...this.#unanswered(), finishReason: finishReasonOfError(error) }
  }

  #withOtherAttempts(response: GenerateResponse): GenerateResponse {
    // A copy: the reply is also the member's own, and that of a call which several wait for is theirs.
    return this.#otherAttempts.length === 0
      ? response
      : { ...response, otherAttempts: [...this.#otherAttempts, ...(response.otherAttempts ?? [])] }
  }

  #unanswered(provider = this.#context.provider, model = this.#context.model): GenerateResponse {
    return emptyResponse({ provider, model: this.options.model ?? model ?? '' })
  }
}

function attemptsOf(otherAttempts: readonly OtherAttempt[]): number {
  return otherAttempts.reduce((sum, { attempts }) => sum + attempts, 0)
}
