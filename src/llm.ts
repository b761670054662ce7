/** createLLM: the facade over the providers, and the only place where the parts are wired. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { Twin } from './blocking/channel.ts'
import { callBlocking, generateBlocking } from './blocking/generate.ts'
import type { Blocker, BlockingOptions } from './blocking/generate.ts'
import { plainLLM } from './blocking/plain-llm.ts'
import type { BlockingStream } from './blocking/stream.ts'
import { Call } from './call.ts'
import { ConvokeError, isConvokeError } from './errors.ts'
import { Gate } from './gate.ts'
import { callDefaults, checkCallOptions, checkLLMOptions, mergeOptions, settingsOf } from './options.ts'
import { RetryBudget } from './policies/retry-budget.ts'
import { loadPrices } from './prices.ts'
import { configure, keysOf } from './providers/configure.ts'
import { findProvider, recogniseClient } from './providers/registry.ts'
import type { ChatRequest, LLMOptions, Provider } from './providers/provider.ts'
import type { PlainLLM } from './protocol.ts'
import { chatRequest } from './request.ts'
import { Requests } from './requests.ts'
import { ResponseStream } from './stream.ts'
import type { StreamSource } from './stream.ts'
import { countRequest, lacks } from './tokens.ts'
import type { TokenCount } from './tokens.ts'
import type { GenerateOptions, GenerateResponse, ModelInfo, Prompt, PullProgress, Warning } from './types.ts'

/** Options of a request beside the calls. */
export interface RequestOptions {
  signal?: AbortSignal
}

/** A client of one of the vendors' SDKs; which one is told by its structure. */
export type VendorClient = object

/**
 * An LLM by its provider's name (`'openai'`), by `'provider/model'`, or over a vendor client that exists already.
 * Synchronous and cheap: the vendor's SDK is loaded at the first call.
 *
 * @throws ConvokeError `configuration` for an unknown provider, a missing key or a bad option, `missing_dependency`
 * when the SDK is not installed
 */
export function createLLM(provider: string | VendorClient, options: LLMOptions = {}): LLM {
  checkLLMOptions(options)
  if (typeof provider === 'string') {
    const slash = provider.indexOf('/')
    if (slash < 0) return new LLM(provider, options, undefined)
    const model = provider.slice(slash + 1)
    return new LLM(provider.slice(0, slash), model ? { ...options, model } : options, undefined)
  }
  if (typeof provider !== 'object' || provider === null) {
    throw new ConvokeError(
      'configuration',
      `createLLM takes a provider's name or a vendor client, not ${String(provider)}.`,
    )
  }
  return new LLM(recogniseClient(provider), options, provider)
}

/** A model behind one facade: calls, streams, and what the vendor tells of its models. Make one with `createLLM`. */
export class LLM implements AsyncDisposable {
  /** The provider's name, as errors and responses give it. */
  readonly provider: string
  /** The model that calls use when they name none. */
  readonly model: string | undefined
  readonly #defaults: GenerateOptions
  readonly #gate: Gate
  readonly #budget = new RetryBudget()
  readonly #load: () => Promise<Provider>
  readonly #calls = new Set<Call>()
  /** Beside the calls: lists of models and the like. */
  readonly #requests: Requests
  /** How the blocking thread makes it again. */
  readonly #toPlain: () => PlainLLM
  #plain: PlainLLM | undefined
  /** In the blocking thread. */
  readonly #twin = new Twin()
  readonly #blocking: 'allow' | undefined
  #loaded: Provider | Promise<Provider> | undefined
  #isClosed = false

  /** @internal */
  constructor(name: string, options: LLMOptions, client: object | undefined) {
    const found = findProvider(name)
    const config = configure(found, options, client)
    this.provider = config.name
    this.model = options.model
    this.#defaults = callDefaults(options)
    this.#requests = new Requests(config.name, settingsOf(this.#defaults).timeouts)
    this.#gate = new Gate(options)
    this.#blocking = options.blocking
    const { apiKey } = options
    // The environment may have changed by the time that the twin is made.
    const taken = { ...options, apiKey: typeof apiKey === 'function' ? apiKey : keysOf(found.entry, apiKey) }
    this.#toPlain = () => plainLLM(this.#twin.idFor(this), found, config, taken)
    this.#load = async () => {
      const [{ create }] = await Promise.all([found.entry.load(), loadPrices()])
      return create(config)
    }
  }

  /**
   * One reply; never blocks. With `stream: true` it gives the `ResponseStream` at once, as `stream()` does.
   *
   * @throws ConvokeError with a `code` that is the same for the same cause on every vendor
   */
  agenerate<Output>(
    prompt: Prompt,
    options: GenerateOptions & { schema: StandardSchemaV1<unknown, Output>; stream?: false },
  ): Promise<GenerateResponse<Output>>
  agenerate(prompt: Prompt, options: GenerateOptions & { stream: true }): ResponseStream
  agenerate(prompt: Prompt, options?: GenerateOptions & { stream?: false }): Promise<GenerateResponse>
  agenerate(
    prompt: Prompt,
    options: GenerateOptions & { stream: boolean },
  ): Promise<GenerateResponse> | ResponseStream
  agenerate(
    prompt: Prompt,
    options: GenerateOptions & { stream?: boolean } = {},
  ): Promise<GenerateResponse> | ResponseStream {
    if (options?.stream) return this.stream(prompt, options)
    try {
      return this.#call(prompt, options).generate()
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /**
   * The reply as it comes.
   *
   * @throws ConvokeError at once for bad input; what fails later ends the stream
   */
  stream(prompt: Prompt, options: GenerateOptions & { stream?: boolean } = {}): ResponseStream {
    const source = this.source(prompt, options)
    return new ResponseStream(source, source.bufferSize)
  }

  /**
   * One reply, while this thread waits: for scripts. It runs in a thread of its own, started at the first call, by the
   * same code as `agenerate`, with the same errors; retries, limits and kept connections are that thread's own. With
   * `stream: true` it gives the chunks as they come.
   *
   * @throws ConvokeError as `agenerate`; `blocking_unavailable` where calls of this thread would stand still meanwhile, or
   * where the LLM or an option cannot cross; `worker_lost` when the thread died: the next call has a new one
   */
  generate<Output>(
    prompt: Prompt,
    options: BlockingOptions & { schema: StandardSchemaV1<unknown, Output>; stream?: false },
  ): GenerateResponse<Output>
  generate(prompt: Prompt, options: BlockingOptions & { stream: true }): BlockingStream
  generate(prompt: Prompt, options?: BlockingOptions & { stream?: false }): GenerateResponse
  generate(
    prompt: Prompt,
    options: BlockingOptions & { stream?: boolean } = {},
  ): GenerateResponse | BlockingStream {
    return this.#labelled(() => generateBlocking(this.blocker(), prompt, options))
  }

  /**
   * What its calls take where they say nothing.
   * @internal
   */
  get defaults(): Readonly<GenerateOptions> {
    return this.#defaults
  }

  /**
   * A reply in plain text, whatever this LLM's calls are given by default: no tools, no schema, nothing that ends it early.
   * @internal
   */
  plainText(prompt: Prompt, options: GenerateOptions): Promise<GenerateResponse> {
    const { tools: _tools, toolChoice: _choice, schema: _schema, ...rest } = this.#defaults
    const { stop: _stop, messages: _messages, ...defaults } = rest
    return this.#call(prompt, options, defaults).generate()
  }

  /**
   * What drives such a stream, for a session that listens to its chunks on their way.
   * @internal
   */
  source(
    prompt: Prompt,
    options: GenerateOptions & { stream?: boolean } = {},
  ): StreamSource & { readonly bufferSize: number } {
    return this.#call(prompt, options)
  }

  /**
   * Tokens of what a call with this prompt and these options would send, the LLM's defaults included. As the function
   * `countTokens`: exact for OpenAI's models, else an estimate, and nothing is sent. With `exact: true` the vendor
   * counts (OpenAI, Anthropic, Gemini; Cohere, which counts the text alone, a long one in several requests); it may be
   * silent for `timeouts.idleMs`.
   *
   * @throws ConvokeError `invalid_request` with `exact` where there is neither an endpoint nor a vocabulary; with it
   * also whatever a request can end with
   */
  async countTokens(
    prompt: Prompt,
    options: GenerateOptions & { exact?: boolean } = {},
  ): Promise<TokenCount> {
    const { exact = false, ...given } = options
    const request = this.#labelled(() => this.#countedRequest(prompt, given))
    const { signal } = given
    if (exact) {
      const provider = await this.#ready()
      if (provider.countTokens) {
        const count = provider.countTokens.bind(provider)
        const ask = { ...(signal ? { signal } : {}) }
        const tokens = await this.#request(ask, (_, ended, touch) => count(request, ended, touch))
        return { tokens, method: 'vendor' }
      }
    }
    const count = await countRequest(request)
    if (!exact || count.method === 'exact') return count
    throw this.#lacks(`counts no tokens. ${lacks(count, request.model)} Leave out exact for an estimate`)
  }

  /** `countTokens`, while this thread waits. @throws ConvokeError as that, and as `generate` */
  countTokensSync(prompt: Prompt, options: BlockingOptions & { exact?: boolean } = {}): TokenCount {
    return this.#labelled(() => callBlocking(this.blocker(), 'countTokens', prompt, options))
  }

  /** The models that the vendor offers. @throws ConvokeError `invalid_request` where it has no list */
  listModels(options: RequestOptions = {}): Promise<ModelInfo[]> {
    return this.#request(options, (provider, signal) => {
      if (!provider.listModels) throw this.#lacks('lists no models')
      return provider.listModels(signal)
    })
  }

  /** What the vendor says of one model (Ollama). */
  showModel(model: string, options: RequestOptions = {}): Promise<ModelInfo> {
    return this.#request(options, (provider, signal) => {
      if (!provider.showModel) throw this.#lacks('shows no single model')
      return provider.showModel(model, signal)
    })
  }

  /** Removes a model (Ollama). */
  deleteModel(model: string, options: RequestOptions = {}): Promise<void> {
    return this.#request(options, (provider, signal) => {
      if (!provider.deleteModel) throw this.#lacks('deletes no models')
      return provider.deleteModel(model, signal)
    })
  }

  /**
   * Downloads a model (Ollama), step by step; leaving the loop stops it. A server that says nothing for
   * `timeouts.firstChunkMs` ends it with `timeout`.
   */
  async *pullModel(model: string, options: RequestOptions = {}): AsyncGenerator<PullProgress, void, void> {
    const deadline = this.#requests.begin(options.signal, 'firstChunkMs')
    try {
      const provider = await this.#ready()
      if (!provider.pullModel) throw this.#lacks('pulls no models')
      for await (const progress of provider.pullModel(model, deadline.signal)) {
        deadline.pause()
        yield progress
        deadline.signal.throwIfAborted()
        deadline.touch()
      }
    } finally {
      this.#requests.end(deadline)
    }
  }

  /** Calls in flight (or waiting for `rateLimit`, in their slot), and in line for a slot. */
  get activity(): { running: number; queued: number } {
    return { running: this.#gate.running, queued: this.#gate.queued }
  }

  /** Cancels what is in flight and lets go of the provider. Further calls are refused. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    this.#requests.cancel('the LLM was closed')
    const provider = await Promise.resolve(this.#loaded).catch(() => undefined)
    this.#twin.forget()
    await provider?.close?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * @throws ConvokeError `blocking_unavailable` where it cannot cross to another thread
   * @internal
   */
  plain(): PlainLLM {
    this.#throwIfClosed()
    return (this.#plain ??= this.#toPlain())
  }

  /**
   * How its calls block.
   * @internal
   */
  blocker(): Blocker {
    const blocking = this.#blocking
    return {
      target: () => ({ kind: 'llm', llm: this.plain() }),
      defaults: { ...this.#defaults, ...(blocking ? { blocking } : {}) },
    }
  }

  #countedRequest(prompt: Prompt, options: GenerateOptions): ChatRequest {
    this.#throwIfClosed()
    checkCallOptions(options)
    const merged = mergeOptions(this.#defaults, options)
    return chatRequest(prompt, merged, settingsOf(merged).timeouts, [])
  }

  #call(
    prompt: Prompt,
    options: GenerateOptions & { stream?: boolean },
    defaults: GenerateOptions = this.#defaults,
  ): Call {
    const call = this.#labelled(() => this.#prepare(prompt, options, defaults))
    this.#calls.add(call)
    return call
  }

  /** Puts the provider's name on errors that know none. */
  #labelled<T>(make: () => T): T {
    try {
      return make()
    } catch (error) {
      if (!isConvokeError(error) || error.provider) throw error
      const { code, message, cause, name: _name, ...fields } = error
      throw new ConvokeError(code, message, { ...fields, cause, provider: this.provider })
    }
  }

  #prepare(prompt: Prompt, options: GenerateOptions & { stream?: boolean }, defaults: GenerateOptions): Call {
    this.#throwIfClosed()
    checkCallOptions(options)
    const { stream: _stream, ...given } = options
    const merged = mergeOptions(defaults, given)
    const settings = settingsOf(merged)
    const warnings: Warning[] = []
    const call: Call = new Call({
      name: this.provider,
      gate: this.#gate,
      budget: this.#budget,
      settings,
      request: chatRequest(prompt, merged, settings.timeouts, warnings),
      warnings,
      schema: merged.schema,
      signal: merged.signal,
      provider: () => this.#ready(),
      onEnd: () => this.#calls.delete(call),
    })
    return call
  }

  #throwIfClosed(): void {
    if (!this.#isClosed) return
    throw new ConvokeError('configuration', 'This LLM was closed. Make another with createLLM.')
  }

  /** The provider, once it is there; a promise of it until then. */
  #ready(): Provider | Promise<Provider> {
    if (this.#isClosed) {
      return Promise.reject(
        new ConvokeError('configuration', 'This LLM was closed. Make another with createLLM.'),
      )
    }
    // A failure is forgotten: what was missing may be there at the next call.
    this.#loaded ??= this.#load().then(
      (provider) => (this.#loaded = provider),
      (error: unknown) => {
        this.#loaded = undefined
        throw error
      },
    )
    return this.#loaded
  }

  /** A small request beside the calls, or some in a row. */
  #request<T>(
    { signal }: RequestOptions = {},
    run: (provider: Provider, signal: AbortSignal, touch: () => void) => Promise<T>,
  ): Promise<T> {
    return this.#requests.run(signal, async (ended, touch) => run(await this.#ready(), ended, touch))
  }

  #lacks(what: string): ConvokeError {
    return new ConvokeError('invalid_request', `This provider ${what}.`, { provider: this.provider })
  }
}
