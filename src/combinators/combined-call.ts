/** A call of a combined LLM: the calls of its members that are made for it, and what ends them all. */
import { beginCall } from '../blocking/in-flight.ts'
import type { Caller, CallSetting, PromptFor, RunningCall, Span } from '../caller.ts'
import { Collector } from '../collect.ts'
import { ConvokeError, endedBy, finishReasonOf, isConvokeError } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import { mergeOptions, plainTextDefaults, settingsOf } from '../options.ts'
import type { StreamSink } from '../stream.ts'
import type { GenerateOptions, GenerateResponse, LostReply } from '../types.ts'

/** How a combinator answers a call: by its members' calls. Without a sink the reply is asked for as a whole. */
export type Work = (call: CombinedCall, sink: StreamSink | undefined) => Promise<GenerateResponse>

export interface CombinedContext {
  provider: string
  model: string | undefined
  prompt: PromptFor
  options: GenerateOptions
  /** Of the members, as far as they agree. */
  defaults: GenerateOptions
  setting: CallSetting
  work: Work
  onEnd: () => void
}

/** A member's call on its way. */
export interface Asked {
  reply: Promise<GenerateResponse>
  running: RunningCall
  cancel(reason: string): void
}

export class CombinedCall implements RunningCall {
  readonly options: GenerateOptions
  readonly #context: CombinedContext
  readonly #controller = new AbortController()
  readonly #running = new Set<RunningCall>()
  readonly #lost: LostReply[] = []
  /** Shared by all members where the call itself limits its time; else each keeps its own limit. */
  readonly #span: Span | undefined
  #current: RunningCall | undefined
  #finished: GenerateResponse | undefined

  constructor(context: CombinedContext) {
    this.#context = context
    const { signal: _signal, ...options } = context.options
    this.options = options
    if (options.timeouts?.totalMs !== undefined) this.#span = context.setting.span ?? {}
  }

  get bufferSize(): number {
    return settingsOf(this.settled).stream.bufferSize
  }

  /** Its options over what the members take, as far as they agree. */
  get settled(): GenerateOptions {
    const { defaults, setting } = this.#context
    return mergeOptions(setting.isPlainText ? plainTextDefaults(defaults) : defaults, this.options)
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

  get setting(): CallSetting {
    return this.#context.setting
  }

  /** Milliseconds that the call itself has left, by its own `totalMs`. */
  get leftMs(): number {
    const { totalMs = Infinity } = this.options.timeouts ?? {}
    const { startedAtMs = performance.now() } = this.#span ?? {}
    return totalMs - (performance.now() - startedAtMs)
  }

  cancel(reason?: unknown): void {
    if (this.#finished || this.signal.aborted) return
    this.#controller.abort(endedBy(reason, { provider: this.provider }))
    for (const running of this.#running) running.cancel(reason)
  }

  partial(): GenerateResponse {
    return this.#finished ?? this.#withLost(this.#current?.partial() ?? this.#unanswered())
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
  start(member: Caller, sink: StreamSink | undefined, handsOver?: CallSetting['handsOver']): Asked {
    this.signal.throwIfAborted()
    const { prompt, setting } = this.#context
    const child = member.call(prompt, this.options, {
      isPart: true,
      ...(setting.isPlainText ? { isPlainText: true } : {}),
      ...(this.#span ? { span: this.#span } : {}),
      ...(handsOver ? { handsOver } : {}),
    })
    this.#running.add(child)
    this.#current = child
    const reply = (sink ? child.run(sink) : child.generate()).finally(() => this.#running.delete(child))
    return { reply, running: child, cancel: (reason) => child.cancel(reason) }
  }

  /** This one's reply is the call's, of several that run. */
  leads({ running }: Asked): void {
    this.#current = running
  }

  /** The same, awaited. */
  async ask(member: Caller, sink: StreamSink | undefined, handsOver?: CallSetting['handsOver']) {
    return this.start(member, sink, handsOver).reply
  }

  /** Something that does not listen to the call's end, and need not be waited for then. */
  async unlessEnded<T>(work: Promise<T>): Promise<T> {
    let onAbort = () => {}
    const ended = new Promise<never>((_, reject) => {
      onAbort = () => reject(this.signal.reason as Error)
      this.signal.addEventListener('abort', onAbort, { once: true })
      if (this.signal.aborted) onAbort()
    })
    try {
      return await Promise.race([work, ended])
    } finally {
      this.signal.removeEventListener('abort', onAbort)
    }
  }

  /** A member's error is not the end of the call: what it cost is told with the reply. */
  lose(error: ConvokeError, { provider, model }: Caller): void {
    const { partial = this.#unanswered(provider, model), attempts, code } = error
    this.loseReply(partial, attempts, code)
  }

  /** @param attempts those of LLMs that are lost with it included, as errors have it */
  loseReply(reply: GenerateResponse, attempts: number, code: ErrorCode = 'cancelled'): void {
    const { provider, model, usage, costUsd, lost = [] } = reply
    const cost = costUsd === undefined ? {} : { costUsd }
    const own = attempts - attemptsOf(lost)
    this.#lost.push(...lost, { provider, model, code, usage, ...cost, attempts: own })
  }

  async #run(sink: StreamSink | undefined): Promise<GenerateResponse> {
    const { options, setting, work, onEnd } = this.#context
    const { signal } = options
    const onAbort = () => this.cancel(signal?.reason)
    const end = setting.isPart ? () => {} : beginCall()
    try {
      if (signal?.aborted) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      this.signal.throwIfAborted()
      this.#finished = this.#withLost(await work(this, sink))
      return this.#finished
    } catch (error) {
      throw this.#failure(error)
    } finally {
      signal?.removeEventListener('abort', onAbort)
      end()
      onEnd()
    }
  }

  #failure(thrown: unknown): ConvokeError {
    const error = isConvokeError(thrown) ? thrown : this.#broken(thrown)
    // What ended all of them is no failure of one before.
    const isEnded = this.signal.aborted
    const failed = this.#lost.filter(({ code }) => code !== 'cancelled' && !(isEnded && code === error.code))
    if (failed.length > 0) {
      const names = failed.map(({ provider, code }) => `${provider} (${code})`)
      error.message += ` Before it failed: ${names.join(', ')}.`
    }
    return error.amend({
      attempts: error.attempts + attemptsOf(this.#lost),
      partial: this.#withLost(error.partial ?? this.#broke(error)),
    })
  }

  /** A function of the caller's, or a bug. */
  #broken(thrown: unknown): ConvokeError {
    const { provider } = this.#context
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return new ConvokeError('configuration', `The combined call failed: ${message}`, {
      provider,
      cause: thrown,
    })
  }

  #broke(error: ConvokeError): GenerateResponse {
    return { ...this.#unanswered(), finishReason: finishReasonOf(error) }
  }

  #withLost(response: GenerateResponse): GenerateResponse {
    // A copy: the reply is also the member's own, and that of a call which several wait for is theirs.
    return this.#lost.length === 0
      ? response
      : { ...response, lost: [...this.#lost, ...(response.lost ?? [])] }
  }

  #unanswered(provider = this.#context.provider, model = this.#context.model): GenerateResponse {
    const collector = new Collector(provider, {
      model: this.options.model ?? model ?? '',
      inputTokens: () => 0,
    })
    const timing = { firstChunkMs: 0, totalMs: 0, attempts: 0 }
    return collector.response('other', { timing, warnings: [], consumed: false })
  }
}

function attemptsOf(lost: readonly LostReply[]): number {
  return lost.reduce((sum, { attempts }) => sum + attempts, 0)
}
