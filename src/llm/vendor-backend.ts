/** The backend of one vendor. It makes the parts of a call and puts them together. */
import { Call } from './call.ts'
import type { Candidate, Backend, CallScope, PromptFor } from './backend.ts'
import type { RequestOptions, GenerateOptions } from '../options/generate-options.ts'
import { ConvokeError, withProvider } from '../errors.ts'
import { Admission } from './admission.ts'
import { callDefaults, plainTextDefaults, settingsOf, mergeOptions } from '../options/settings.ts'
import type { Settings } from '../options/settings.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { RetryBudget } from '../policies/retry-budget.ts'
import { loadPrices } from '../usage/cost.ts'
import { configure, keysOf } from '../providers/configure.ts'
import { findProvider } from '../providers/registry.ts'
import type { ChatRequest, Provider, ProviderConfig } from '../provider.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import { discard, noteRecipe } from '../threads/recipe.ts'
import { chatRequest } from '../request/chat-request.ts'
import { clientIdentity } from './client-identity.ts'
import { SideRequests } from './side-requests.ts'
import { countRequest, whyEstimated } from '../tokens/count-tokens.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { ModelInfo, Prompt, PullProgress, Warning } from '../types.ts'

export class VendorBackend implements Backend {
  readonly provider: string
  readonly model: string | undefined
  readonly defaults: GenerateOptions
  readonly #config: ProviderConfig
  readonly #admission: Admission
  readonly #retryBudget = new RetryBudget()
  readonly #sideRequests: SideRequests
  /** Loads the vendor's SDK, and makes the provider. */
  readonly #makeProvider: () => Promise<Provider>
  /** Calls that run, to be cancelled by `close`. */
  readonly #calls = new Set<Call>()
  #provider: Provider | Promise<Provider> | undefined
  #isClosed = false

  constructor(name: string, options: LLMOptions, client: object | undefined) {
    const found = findProvider(name)
    const config = configure(found, options, client)
    this.#config = config
    this.provider = config.name
    this.model = options.model
    this.defaults = callDefaults(options)
    this.#sideRequests = new SideRequests(config.name, settingsOf(this.defaults).timeouts)
    this.#admission = new Admission(options)
    const { apiKey } = options
    noteRecipe(this, {
      kind: 'vendor',
      provider: found.name,
      options: {
        ...options,
        name: config.name,
        apiKey: typeof apiKey === 'function' ? apiKey : keysOf(found.entry, apiKey),
        ...(config.baseURL ? { baseURL: config.baseURL } : {}),
      },
      hasClient: client !== undefined,
      isRegisteredHere: found.entry.package === undefined,
    })
    this.#makeProvider = async () => {
      const [{ create }] = await Promise.all([found.entry.load(), loadPrices()])
      return create(config)
    }
  }

  get leaves(): readonly Backend[] {
    return [this]
  }

  get activity(): { running: number; queued: number } {
    return { running: this.#admission.running, queued: this.#admission.queued }
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  throwIfClosed(): void {
    if (this.#isClosed) throw closedError()
  }

  call(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): Call {
    const call = withProvider(this.provider, () => this.#prepareCall(prompt, options, scope))
    this.#calls.add(call)
    return call
  }

  #prepareCall(prompt: PromptFor, options: GenerateOptions, scope: CallScope): Call {
    const warnings: Warning[] = []
    const { request, settings, merged } = this.#prepareRequest(prompt, options, scope, warnings)
    const call: Call = new Call({
      name: this.provider,
      admission: this.#admission,
      retryBudget: this.#retryBudget,
      settings,
      request,
      warnings,
      schema: merged.schema,
      signal: merged.signal,
      scope,
      provider: () => this.#readyProvider(),
      onEnd: () => this.#calls.delete(call),
    })
    return call
  }

  /** The request of a call, with the options merged over the defaults. */
  #prepareRequest(
    prompt: PromptFor,
    options: GenerateOptions,
    { isPlainText = false }: CallScope,
    warnings: Warning[],
  ): { request: ChatRequest; settings: Settings; merged: GenerateOptions } {
    this.throwIfClosed()
    checkCallOptions(options)
    const merged = mergeOptions(isPlainText ? plainTextDefaults(this.defaults) : this.defaults, options)
    const settings = settingsOf(merged)
    const given = typeof prompt === 'function' ? prompt(this.provider) : prompt
    return { request: chatRequest(given, merged, settings.timeouts, warnings), settings, merged }
  }

  /** The provider; a promise of it until the SDK is loaded. A failure is not kept, since the next call may succeed. */
  #readyProvider(): Provider | Promise<Provider> {
    if (this.#isClosed) return Promise.reject(closedError())
    this.#provider ??= this.#makeProvider().then(
      (provider) => (this.#provider = provider),
      (error: unknown) => {
        this.#provider = undefined
        throw error
      },
    )
    return this.#provider
  }

  candidates(options: GenerateOptions): Candidate[] {
    const { model, maxTokens } = mergeOptions(this.defaults, options)
    return [{ provider: this.provider, model, maxTokens }]
  }

  /** Time limits, warnings and `metadata` are left out, since they do not affect the reply. */
  identity(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): unknown {
    const prepare = () => this.#prepareRequest(prompt, options, scope, [])
    const {
      connectMs: _connectMs,
      idleMs: _idleMs,
      warn: _warn,
      metadata: _metadata,
      ...request
    } = withProvider(this.provider, prepare).request
    const { api, client, headers, baseURL } = this.#config
    const own = client && clientIdentity(client)
    return { provider: this.provider, address: baseURL ?? '', api, headers, client: own, request }
  }

  async countTokens(
    prompt: Prompt,
    options: GenerateOptions & { exact?: boolean } = {},
  ): Promise<TokenCount> {
    const { exact = false, ...given } = options
    const { request } = withProvider(this.provider, () => this.#prepareRequest(prompt, given, {}, []))
    const { signal } = given
    if (exact) {
      const provider = await this.#readyProvider()
      if (provider.countTokens) {
        const count = provider.countTokens.bind(provider)
        const ask = { ...(signal ? { signal } : {}) }
        const tokens = await this.#runSideRequest(ask, (_, ended, touch) => count(request, ended, touch))
        return { tokens, method: 'vendor' }
      }
    }
    const count = await countRequest(request)
    if (!exact || count.method === 'exact') return count
    throw this.#unsupported(
      `counts no tokens. ${whyEstimated(count, request.model)} Leave out exact for an estimate`,
    )
  }

  listModels(options: RequestOptions): Promise<ModelInfo[]> {
    return this.#runSideRequest(options, (provider, signal) => {
      if (!provider.listModels) throw this.#unsupported('lists no models')
      return provider.listModels(signal)
    })
  }

  showModel(model: string, options: RequestOptions): Promise<ModelInfo> {
    return this.#runSideRequest(options, (provider, signal) => {
      if (!provider.showModel) throw this.#unsupported('shows no single model')
      return provider.showModel(model, signal)
    })
  }

  deleteModel(model: string, options: RequestOptions): Promise<void> {
    return this.#runSideRequest(options, (provider, signal) => {
      if (!provider.deleteModel) throw this.#unsupported('deletes no models')
      return provider.deleteModel(model, signal)
    })
  }

  async *pullModel(model: string, options: RequestOptions): AsyncGenerator<PullProgress, void, void> {
    const deadline = this.#sideRequests.begin(options.signal, 'firstChunkMs')
    try {
      const provider = await this.#readyProvider()
      if (!provider.pullModel) throw this.#unsupported('pulls no models')
      for await (const progress of provider.pullModel(model, deadline.signal)) {
        // The time that the reader takes is not the server's silence.
        deadline.pause()
        yield progress
        deadline.signal.throwIfAborted()
        deadline.touch()
      }
    } finally {
      this.#sideRequests.end(deadline)
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    this.#sideRequests.cancel('the LLM was closed')
    const provider = await Promise.resolve(this.#provider).catch(() => undefined)
    discard(this)
    await provider?.close?.()
  }

  #runSideRequest<T>(
    { signal }: RequestOptions,
    send: (provider: Provider, signal: AbortSignal, touch: () => void) => Promise<T>,
  ): Promise<T> {
    return this.#sideRequests.run(signal, async (ended, touch) =>
      send(await this.#readyProvider(), ended, touch),
    )
  }

  #unsupported(what: string): ConvokeError {
    return new ConvokeError('invalid_request', `This provider ${what}.`, { provider: this.provider })
  }
}

function closedError(): ConvokeError {
  return new ConvokeError('configuration', 'This LLM was closed. Make another with createLLM.')
}
