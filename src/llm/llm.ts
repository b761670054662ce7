/** createLLM, and the class of all LLMs: of one vendor's model as of several combined. */
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
      `createLLM takes a provider's name or a vendor client, not ${String(provider)}. Pass a name such as 'openai'.`,
    )
  }
  return new LLM(new VendorBackend(recognizeClient(provider), options, provider))
}

/**
 * A model with one interface for all vendors: calls, streams, token counts and lists of models. `createLLM` makes one.
 * `Default` is the type of the response to calls that give neither a schema nor tools.
 */
export class LLM<Default extends GenerateResponse = GenerateResponse> implements AsyncDisposable {
  /**
   * The provider's name, as errors and responses show it. Combined LLMs of several providers have the combinator's name.
   */
  readonly provider: string
  /** The model of calls that name none. Undefined for combined LLMs whose models differ. */
  readonly model: string | undefined
  /** Has no value. The compiler tells LLMs by it whose defaults give different responses. */
  declare readonly '~response'?: Default
  readonly #backend: Backend

  /** @internal */
  constructor(backend: Backend) {
    this.#backend = backend
    this.provider = backend.provider
    this.model = backend.model
  }

  /**
   * Gives one reply. With `stream: true` it gives a `ResponseStream` at once, as `stream()` does.
   *
   * With a `schema`, the response has a typed `output`. With `tools` as well, `output` may be absent, since a reply that
   * calls a tool has none. The types do not know of tools among the LLM's defaults: check `output` there.
   *
   * @throws ConvokeError with the same `code` for the same cause on every vendor. Without `stream: true` the promise
   * rejects, also for a bad option.
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
   * Gives one reply, chunk by chunk as it arrives. The stream's `response` has the type that `agenerate` gives.
   *
   * @throws ConvokeError `invalid_request` at once for a bad prompt or option. A later error ends the stream.
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
   * Gives one reply while this thread waits, for scripts. The call runs in a second thread, which the first such call
   * starts, by the same code as `agenerate`. That thread has retries, limits and open connections of its own. With
   * `stream: true` it gives a `BlockingStream`, whose chunks are read as they arrive.
   *
   * @throws ConvokeError the errors of `agenerate`; `blocking_unavailable` when other calls of this thread would stand
   * still meanwhile, or when the LLM or an option cannot be sent to the second thread; `worker_lost` when that thread
   * died, and then the next call starts a new one
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
   * The vendor's model or the combined LLMs that answer the calls, for combinators.
   * @internal
   */
  get backend(): Backend {
    return this.#backend
  }

  /**
   * The options that calls have by default.
   * @internal
   */
  get defaults(): Readonly<GenerateOptions> {
    return this.#backend.defaults
  }

  /**
   * The LLMs that may answer a call with these options.
   * @internal
   */
  candidates(options: GenerateOptions): Candidate[] {
    return this.#backend.candidates(options)
  }

  /**
   * Gives a reply in plain text: default tools, schemas and texts that end the reply are left out.
   * @internal
   */
  plainText(prompt: Prompt, options: GenerateOptions): Promise<GenerateResponse> {
    return this.#backend.call(prompt, options, { isPlainText: true }).generate()
  }

  /**
   * A call that has not begun, for sessions, which read its chunks before users do.
   * @internal
   */
  source(prompt: PromptFor, options: GenerateOptions & { stream?: boolean } = {}): PendingCall {
    // Anything but an object is passed on, for the checks to refuse.
    const { stream: _stream, ...given } = (options ?? {}) as typeof options
    return this.#backend.call(prompt, options && given)
  }

  /**
   * Counts the tokens that a call with this prompt and these options would send, with the LLM's defaults. Without
   * `exact` it counts as the function `countTokens` does, and sends nothing: exactly for OpenAI's models, by an estimate
   * for others. With `exact: true` the vendor counts, in a request that may be silent for `timeouts.idleMs`: OpenAI,
   * Anthropic and Gemini count the whole request, Cohere only its texts, a long one in several requests.
   *
   * @throws ConvokeError with `exact`: `invalid_request` where there is neither an endpoint nor a vocabulary, and the
   * errors of any request
   */
  async countTokens(
    prompt: Prompt,
    options: GenerateOptions & { exact?: boolean } = {},
  ): Promise<TokenCount> {
    return this.#backend.countTokens(prompt, options)
  }

  /** `countTokens` while this thread waits. @throws ConvokeError the errors of `countTokens` and of `generate` */
  countTokensSync(prompt: Prompt, options: BlockingOptions & { exact?: boolean } = {}): TokenCount {
    return withProvider(this.provider, () =>
      callBlocking({ llm: this.#backend }, 'countTokens', prompt, options),
    )
  }

  /** Lists the models that the vendor offers. @throws ConvokeError `invalid_request` where the vendor has no list */
  listModels(options: RequestOptions = {}): Promise<ModelInfo[]> {
    return this.#backend.listModels(options)
  }

  /** Describes one model. Only Ollama. @throws ConvokeError `invalid_request` on other vendors */
  showModel(model: string, options: RequestOptions = {}): Promise<ModelInfo> {
    return this.#backend.showModel(model, options)
  }

  /** Removes a model from the server. Only Ollama. @throws ConvokeError `invalid_request` on other vendors */
  deleteModel(model: string, options: RequestOptions = {}): Promise<void> {
    return this.#backend.deleteModel(model, options)
  }

  /**
   * Downloads a model to the server, and yields each step. Leaving the loop stops the download. Only Ollama.
   *
   * @throws ConvokeError `timeout` when the server is silent for `timeouts.firstChunkMs`; `invalid_request` on other
   * vendors
   */
  pullModel(model: string, options: RequestOptions = {}): AsyncGenerator<PullProgress, void, void> {
    return this.#backend.pullModel(model, options)
  }

  /**
   * Calls that have a slot of `maxConcurrent` (`running`, also while they wait for `rateLimit`), and calls that wait for
   * one (`queued`).
   */
  get activity(): { running: number; queued: number } {
    return this.#backend.activity
  }

  /**
   * Cancels the calls in flight and closes the provider. Further calls fail with `configuration`. LLMs that were combined
   * stay open: they belong to the caller.
   */
  close(): Promise<void> {
    return this.#backend.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
