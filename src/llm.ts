/** createLLM: the facade over the providers, and the only place where the parts are wired. */
import { Call } from './call.ts'
import { conversation } from './prompt.ts'
import { ConvokeError, isConvokeError } from './errors.ts'
import { checkCallOptions, checkLLMOptions, mergeOptions, settingsOf } from './options.ts'
import { Limiter } from './policies/limiter.ts'
import { RetryBudget } from './policies/retry-budget.ts'
import { loadPrices } from './prices.ts'
import { findProvider, recogniseClient } from './providers/registry.ts'
import type { ProviderEntry } from './providers/registry.ts'
import type { ApiKey, ChatRequest, LLMOptions, Provider, ProviderConfig } from './providers/provider.ts'
import { ResponseStream } from './stream.ts'
import type { GenerateOptions, GenerateResponse, ModelInfo, Prompt, PullProgress, Warning } from './types.ts'

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
  readonly #limiter: Limiter
  readonly #budget = new RetryBudget()
  readonly #load: () => Promise<Provider>
  readonly #calls = new Set<Call>()
  #loaded: Promise<Provider> | undefined
  #isClosed = false

  /** @internal */
  constructor(name: string, options: LLMOptions, client: object | undefined) {
    checkLLMOptions(options)
    const found = findProvider(name)
    const {
      apiKey,
      baseURL,
      headers,
      fetch,
      api,
      maxConcurrent = 10,
      maxQueue = 1_000,
      maxLineBytes = 8_388_608,
      maxResponseBytes = 268_435_456,
      name: ownName,
      ...defaults
    } = options
    this.provider = ownName ?? found.name
    this.model = defaults.model
    this.#defaults = defaults
    this.#limiter = new Limiter(maxConcurrent, maxQueue)
    checkInstalled(found.name, found.entry, client)
    if (client && apiKey) {
      throw new ConvokeError('configuration', 'A client has its own key: leave apiKey out, or pass a name.', {
        provider: this.provider,
      })
    }
    const address = client ? baseURL : baseURLOf(this.provider, found.entry, baseURL)
    const config: ProviderConfig = {
      name: this.provider,
      apiKey: client
        ? () => Promise.resolve(undefined)
        : keySource(this.provider, found.entry, apiKey, baseURL),
      maxLineBytes,
      maxResponseBytes,
      ...(found.entry.preset ? { preset: found.entry.preset } : {}),
      ...(address ? { baseURL: address } : {}),
      ...(headers ? { headers } : {}),
      ...(fetch ? { fetch } : {}),
      ...(api ? { api } : {}),
      ...(client ? { client } : {}),
    }
    this.#load = () => loadProvider(found.entry, config)
  }

  /**
   * One reply; never blocks. With `stream: true` it gives the `ResponseStream` at once, as `stream()` does.
   *
   * @throws ConvokeError with a `code` that is the same for the same cause on every vendor
   */
  agenerate(prompt: Prompt, options: GenerateOptions & { stream: true }): ResponseStream
  agenerate(prompt: Prompt, options?: GenerateOptions & { stream?: false }): Promise<GenerateResponse>
  agenerate(
    prompt: Prompt,
    options: GenerateOptions & { stream?: boolean } = {},
  ): Promise<GenerateResponse> | ResponseStream {
    if (options.stream) return this.stream(prompt, options)
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
    const call = this.#call(prompt, options)
    return new ResponseStream(call, call.bufferSize)
  }

  /** The models that the vendor offers. @throws ConvokeError `invalid_request` where it has no list */
  async listModels(options: { signal?: AbortSignal } = {}): Promise<ModelInfo[]> {
    const provider = await this.#ready()
    if (!provider.listModels) throw this.#lacks('lists no models')
    return this.#withSignal(options, (signal) => provider.listModels?.(signal) ?? [])
  }

  /** What the vendor says of one model (Ollama). */
  async showModel(model: string, options: { signal?: AbortSignal } = {}): Promise<ModelInfo> {
    const provider = await this.#ready()
    if (!provider.showModel) throw this.#lacks('shows no single model')
    return this.#withSignal(options, (signal) => provider.showModel?.(model, signal) as Promise<ModelInfo>)
  }

  /** Downloads a model (Ollama), step by step; leaving the loop stops it. */
  async *pullModel(
    model: string,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<PullProgress, void, void> {
    const provider = await this.#ready()
    if (!provider.pullModel) throw this.#lacks('pulls no models')
    const link = this.#link(options.signal)
    try {
      yield* provider.pullModel(model, link.signal)
    } finally {
      link.release()
    }
  }

  /** Removes a model (Ollama). */
  async deleteModel(model: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const provider = await this.#ready()
    if (!provider.deleteModel) throw this.#lacks('deletes no models')
    return this.#withSignal(options, (signal) => provider.deleteModel?.(model, signal))
  }

  /** Calls in flight and in line. */
  get activity(): { running: number; queued: number } {
    return { running: this.#limiter.running, queued: this.#limiter.queued }
  }

  /** Cancels what is in flight and lets go of the provider. Further calls are refused. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    const provider = await this.#loaded?.catch(() => undefined)
    await provider?.close?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #call(prompt: Prompt, options: GenerateOptions & { stream?: boolean }): Call {
    try {
      const call = this.#prepare(prompt, options)
      this.#calls.add(call)
      return call
    } catch (error) {
      throw isConvokeError(error) && !error.provider
        ? new ConvokeError(error.code, error.message, { provider: this.provider, cause: error.cause })
        : error
    }
  }

  #prepare(prompt: Prompt, options: GenerateOptions & { stream?: boolean }): Call {
    if (this.#isClosed)
      throw new ConvokeError('configuration', 'This LLM was closed. Make another with createLLM.')
    checkCallOptions(options)
    const { stream: _stream, ...given } = options
    const merged = mergeOptions(this.#defaults, given)
    const settings = settingsOf(merged)
    const warnings: Warning[] = []
    const call: Call = new Call({
      name: this.provider,
      limiter: this.#limiter,
      budget: this.#budget,
      settings,
      request: chatRequest(prompt, merged, settings.timeouts, warnings),
      warnings,
      signal: merged.signal,
      provider: () => this.#ready(),
      onEnd: () => this.#calls.delete(call),
    })
    return call
  }

  #ready(): Promise<Provider> {
    if (this.#isClosed) {
      return Promise.reject(
        new ConvokeError('configuration', 'This LLM was closed. Make another with createLLM.'),
      )
    }
    this.#loaded ??= this.#load()
    return this.#loaded
  }

  async #withSignal<T>(
    options: { signal?: AbortSignal },
    run: (signal: AbortSignal) => T | Promise<T>,
  ): Promise<T> {
    const link = this.#link(options.signal)
    try {
      return await run(link.signal)
    } finally {
      link.release()
    }
  }

  /** A signal that follows the user's, with a ConvokeError as its reason. */
  #link(given: AbortSignal | undefined): { signal: AbortSignal; release: () => void } {
    const controller = new AbortController()
    const onAbort = () => {
      controller.abort(
        new ConvokeError('cancelled', 'The request was cancelled.', {
          provider: this.provider,
          cause: given?.reason,
        }),
      )
    }
    if (given?.aborted) onAbort()
    given?.addEventListener('abort', onAbort, { once: true })
    return { signal: controller.signal, release: () => given?.removeEventListener('abort', onAbort) }
  }

  #lacks(what: string): ConvokeError {
    return new ConvokeError('invalid_request', `This provider ${what}.`, { provider: this.provider })
  }
}

function chatRequest(
  prompt: Prompt,
  options: GenerateOptions,
  timeouts: { connectMs: number; idleMs: number },
  warnings: Warning[],
): ChatRequest {
  const {
    model,
    stop,
    signal: _signal,
    timeouts: _timeouts,
    retry: _retry,
    streamConfig: _config,
    ...rest
  } = options
  if (!model) {
    throw new ConvokeError('configuration', "No model. Pass model, or 'provider/model' to createLLM.")
  }
  /** A retry maps the request again; what it warns of is told once. */
  const told = new Set<string>()
  const warn = (warning: Warning) => {
    if (told.has(warning.message)) return
    told.add(warning.message)
    warnings.push(warning)
  }
  return {
    ...rest,
    ...conversation(prompt, options, warn),
    model,
    ...(stop === undefined ? {} : { stop: [stop].flat() as string[] }),
    connectMs: timeouts.connectMs,
    idleMs: timeouts.idleMs,
    warn,
  }
}

async function loadProvider(entry: ProviderEntry, config: ProviderConfig): Promise<Provider> {
  const [{ create }] = await Promise.all([entry.load(), loadPrices()])
  return create(config)
}

function checkInstalled(name: string, entry: ProviderEntry, client: object | undefined): void {
  if (!entry.package || client) return
  try {
    import.meta.resolve(entry.package)
  } catch (cause) {
    throw new ConvokeError(
      'missing_dependency',
      `The package ${entry.package} is not installed. Run: npm install ${entry.package}`,
      { provider: name, cause },
    )
  }
}

function baseURLOf(provider: string, entry: ProviderEntry, given: string | undefined): string | undefined {
  const found = given ?? fromEnvironment(entry.baseURLVariables) ?? entry.baseURL
  if (!found && entry.needsBaseURL) {
    throw new ConvokeError('configuration', 'No base URL. Pass baseURL, such as http://127.0.0.1:8080/v1.', {
      provider,
    })
  }
  // OLLAMA_HOST is customarily written without a scheme.
  return found && !found.includes('://') ? `http://${found}` : found
}

/** Gives keys one after the other. @throws ConvokeError `configuration` when there is none and one is needed */
function keySource(
  provider: string,
  entry: ProviderEntry,
  given: ApiKey | undefined,
  baseURL: string | undefined,
): () => Promise<string | undefined> {
  if (typeof given === 'function') return async () => given()
  const keys = [given ?? fromEnvironment(entry.keyVariables) ?? []].flat().filter((key) => key !== '')
  if (keys.length === 0 && entry.needsKey) {
    const variable = entry.keyVariables[0]
    const remedy = variable ? `Pass apiKey or set ${variable}.` : 'Pass apiKey.'
    const hint = baseURL ? ' A server that wants none takes any text.' : ''
    throw new ConvokeError('configuration', `No API key. ${remedy}${hint}`, { provider })
  }
  let next = 0
  return () => Promise.resolve(keys[next++ % keys.length])
}

function fromEnvironment(names: readonly string[] | undefined): string | undefined {
  return names?.map((name) => process.env[name]).find((value) => value)
}
