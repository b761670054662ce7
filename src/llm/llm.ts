/** createLLM, and the facade of every LLM: of a vendor's model, and of LLMs that a combinator made from others. */
import { callBlocking, generateBlocking } from '../blocking/generate.ts'
import type { BlockingOptions, RequestOptions, GenerateOptions } from '../options/generate-options.ts'
import type { BlockingStream } from '../blocking/blocking-stream.ts'
import type { Candidate, Backend, PromptFor, PendingCall } from './backend.ts'
import { ConvokeError, withProvider } from '../errors.ts'
import { checkLLMOptions } from '../options/call-rules.ts'
import { recognizeClient } from '../providers/registry.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import type { ProviderName } from '../options/known-models.ts'
import type { ResponseTo } from '../options/response-to.ts'
import { ResponseStream } from '../response/response-stream.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { GenerateResponse, ModelInfo, Prompt, PullProgress } from '../types.ts'
import { VendorBackend } from './vendor-backend.ts'

/**
 * Makes an LLM from its provider's name (`'openai'`), from `'provider/model'`, or over a vendor's client that exists
 * already, which is recognised by its structure. It is synchronous and cheap: the vendor's SDK is loaded at the first
 * call.
 *
 * @param options how to reach the vendor, limits, and defaults for all calls. A `schema` among them types `output` of
 * calls that give none.
 * @throws ConvokeError `configuration` for an unknown provider, a missing key or a bad option; `missing_dependency`
 * when the SDK is not installed
 */
export function createLLM<Output = never, Tool extends string = never>(
  provider: ProviderName | object,
  options?: LLMOptions<Output, Tool>,
): LLM<ResponseTo<Output, Tool>>
export function createLLM(provider: string | object, options: LLMOptions = {}): LLM {
  checkLLMOptions(options)
  if (typeof provider === 'string') {
    const slash = provider.indexOf('/')
    if (slash < 0) return new LLM(new VendorBackend(provider, options, undefined))
    const model = provider.slice(slash + 1)
    const given = model ? { ...options, model } : options
    return new LLM(new VendorBackend(provider.slice(0, slash), given, undefined))
  }
  if (typeof provider !== 'object' || provider === null) {
    throw new ConvokeError(
      'configuration',
      `createLLM takes a provider's name or a vendor's client, not ${String(provider)}.`,
    )
  }
  return new LLM(new VendorBackend(recognizeClient(provider), options, provider))
}

/**
 * A model behind one facade: calls, streams, and the vendor's lists of models. Make one with `createLLM`.
 * `Default` is the response to calls that give neither a schema nor tools.
 */
export class LLM<Default extends GenerateResponse = GenerateResponse> implements AsyncDisposable {
  /** The provider's name, as in errors and responses. Combined LLMs of several providers have the combinator's name. */
  readonly provider: string
  /** The model of calls that name none. Undefined for combined LLMs with several models. */
  readonly model: string | undefined
  /** Only the compiler reads it: it tells LLMs apart whose defaults give different responses. It has no value. */
  declare readonly '~response'?: Default
  readonly #backend: Backend

  /** @internal */
  constructor(backend: Backend) {
    this.#backend = backend
    this.provider = backend.provider
    this.model = backend.model
  }

  /**
   * One reply, without blocking the thread. With `stream: true` it gives the `ResponseStream` at once, as `stream()`
   * does. `output` of the response is there, and typed, where the call has a `schema`; with `tools` besides it may be
   * absent, since a reply that calls a tool has none. Tools among the LLM's defaults are not seen by the types.
   *
   * @throws ConvokeError with a `code` that is the same for the same cause on every vendor
   */
  agenerate<Output = never, Tool extends string = never, Stream extends boolean = false>(
    prompt: Prompt,
    options?: GenerateOptions<Output, Tool> & { stream?: Stream },
  ): Stream extends true
    ? ResponseStream<ResponseTo<Output, Tool, Default>>
    : Promise<ResponseTo<Output, Tool, Default>>
  agenerate(
    prompt: Prompt,
    options: GenerateOptions & { stream?: boolean } = {},
  ): Promise<GenerateResponse> | ResponseStream {
    if (options?.stream) return this.stream(prompt, options)
    try {
      return this.source(prompt, options).generate()
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /**
   * One reply, chunk by chunk as it comes. `response` of the stream is typed as that of `agenerate`.
   *
   * @throws ConvokeError at once for bad input; what fails later ends the stream
   */
  stream<Output = never, Tool extends string = never>(
    prompt: Prompt,
    options?: GenerateOptions<Output, Tool> & { stream?: boolean },
  ): ResponseStream<ResponseTo<Output, Tool, Default>>
  stream(prompt: Prompt, options: GenerateOptions & { stream?: boolean } = {}): ResponseStream {
    const source = this.source(prompt, options)
    return new ResponseStream(source, source.bufferSize)
  }

  /**
   * One reply, while this thread waits: for scripts. The call runs in a thread of its own, which the first call starts. The
   * code and the errors are those of `agenerate`; retries, limits and kept connections belong to that thread. With
   * `stream: true` it gives the chunks as they come.
   *
   * @throws ConvokeError as `agenerate`; `blocking_unavailable` where the wait would stop other calls of this thread, or
   * where the LLM or an option cannot cross to another thread; `worker_lost` when the thread died. The next call then
   * starts a new thread
   */
  generate<Output = never, Tool extends string = never, Stream extends boolean = false>(
    prompt: Prompt,
    options?: BlockingOptions<GenerateOptions<Output, Tool>> & { stream?: Stream },
  ): Stream extends true
    ? BlockingStream<ResponseTo<Output, Tool, Default>>
    : ResponseTo<Output, Tool, Default>
  generate(
    prompt: Prompt,
    options: BlockingOptions & { stream?: boolean } = {},
  ): GenerateResponse | BlockingStream {
    return withProvider(this.provider, () => generateBlocking({ llm: this.#backend }, prompt, options))
  }

  /**
   * The implementation behind the facade, for combinators.
   * @internal
   */
  get backend(): Backend {
    return this.#backend
  }

  /**
   * The options of calls that do not set them.
   * @internal
   */
  get defaults(): Readonly<GenerateOptions> {
    return this.#backend.defaults
  }

  /**
   * The models that may answer a call with these options.
   * @internal
   */
  candidates(options: GenerateOptions): Candidate[] {
    return this.#backend.candidates(options)
  }

  /**
   * A reply in plain text. The defaults for `tools`, `schema`, `stop` and `messages` do not apply.
   * @internal
   */
  plainText(prompt: Prompt, options: GenerateOptions): Promise<GenerateResponse> {
    return this.#backend.call(prompt, options, { isPlainText: true }).generate()
  }

  /**
   * A call that has not begun. A session uses it to see the chunks on their way to the reader.
   * @internal
   */
  source(prompt: PromptFor, options: GenerateOptions & { stream?: boolean } = {}): PendingCall {
    // Options that are no object pass through: the check of the backend reports them.
    const { stream: _stream, ...given } = (options ?? {}) as typeof options
    return this.#backend.call(prompt, options && given)
  }

  /**
   * Counts the tokens that a call with this prompt and these options would send, with the LLM's defaults. Like the function
   * `countTokens`, it counts exactly for OpenAI's models, estimates for others, and sends nothing. With `exact: true` the
   * vendor counts (OpenAI, Anthropic, Gemini; Cohere counts the text alone, and a long text in several requests), and may
   * be silent for `timeouts.idleMs`.
   *
   * @throws ConvokeError with `exact: true`: `invalid_request` where the vendor has no endpoint for it and the vocabulary is
   * not known, and the errors of a request
   */
  async countTokens(
    prompt: Prompt,
    options: GenerateOptions & { exact?: boolean } = {},
  ): Promise<TokenCount> {
    return this.#backend.countTokens(prompt, options)
  }

  /** `countTokens`, while this thread waits. @throws ConvokeError as `countTokens` and `generate` */
  countTokensSync(prompt: Prompt, options: BlockingOptions & { exact?: boolean } = {}): TokenCount {
    return withProvider(this.provider, () =>
      callBlocking({ llm: this.#backend }, 'countTokens', prompt, options),
    )
  }

  /** The models that the vendor offers. @throws ConvokeError `invalid_request` for a vendor without such a list */
  listModels(options: RequestOptions = {}): Promise<ModelInfo[]> {
    return this.#backend.listModels(options)
  }

  /** The vendor's facts about one model. Only Ollama has this. @throws ConvokeError `invalid_request` for other vendors */
  showModel(model: string, options: RequestOptions = {}): Promise<ModelInfo> {
    return this.#backend.showModel(model, options)
  }

  /** Removes a model. Only Ollama has this. @throws ConvokeError `invalid_request` for other vendors */
  deleteModel(model: string, options: RequestOptions = {}): Promise<void> {
    return this.#backend.deleteModel(model, options)
  }

  /**
   * Downloads a model, step by step; leaving the loop stops the download. Only Ollama has this.
   * @throws ConvokeError `timeout` when the server sends nothing for `timeouts.firstChunkMs`, `invalid_request` for other
   * vendors
   */
  pullModel(model: string, options: RequestOptions = {}): AsyncGenerator<PullProgress, void, void> {
    return this.#backend.pullModel(model, options)
  }

  /** Calls that hold a slot (in flight, or waiting for `rateLimit`), and calls that wait for a slot. */
  get activity(): { running: number; queued: number } {
    return this.#backend.activity
  }

  /**
   * Cancels the calls in flight and closes the provider. Further calls are refused. The members of a combined LLM stay
   * open.
   */
  close(): Promise<void> {
    return this.#backend.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
