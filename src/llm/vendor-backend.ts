/** An LLM over one vendor: the only place where the parts of a call are wired. */
import { Call } from './call.ts'
import type { Candidate, Backend, CallScope, PromptFor } from './backend.ts'
import type { RequestOptions, GenerateOptions } from '../options/generate-options.ts'
import { ConvokeError, withProvider } from '../errors.ts'
import { Admission } from './admission.ts'
import { callDefaults, plainTextDefaults, settingsOf, mergeOptions } from '../options/settings.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { RetryBudget } from '../policies/retry-budget.ts'
import { loadPrices } from '../usage/cost.ts'
import { configure, keysOf } from '../providers/configure.ts'
import { findProvider } from '../providers/registry.ts'
import type { ChatRequest, Provider, ProviderConfig } from '../provider.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import { discard, noteRecipe } from '../threads/recipe.ts'
import { chatRequest } from '../request/chat-request.ts'
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
  readonly #budget = new RetryBudget()
  readonly #load: () => Promise<Provider>
  readonly #calls = new Set<Call>()
  /** Beside the calls: lists of models and the like. */
  readonly #sideRequests: SideRequests
  #loaded: Provider | Promise<Provider> | undefined
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
    this.#load = async () => {
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

  call(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): Call {
    const call = withProvider(this.provider, () => this.#prepare(prompt, options, scope))
    this.#calls.add(call)
    return call
  }

  candidates(options: GenerateOptions): Candidate[] {
    const { model, maxTokens } = mergeOptions(this.defaults, options)
    return [{ provider: this.provider, model, maxTokens }]
  }

  /** Labels and limits leave the reply as it is. */
  identity(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): unknown {
    const {
      connectMs: _connectMs,
      idleMs: _idleMs,
      warn: _warn,
      metadata: _metadata,
      ...request
    } = withProvider(this.provider, () => this.#request(prompt, options, scope, []).request)
    const { api, client, headers, baseURL } = this.#config
    const own = client && clientIdentity(client)
    return { provider: this.provider, address: baseURL ?? '', api, headers, client: own, request }
  }

  async countTokens(
    prompt: Prompt,
    options: GenerateOptions & { exact?: boolean } = {},
  ): Promise<TokenCount> {
    const { exact = false, ...given } = options
    const { request } = withProvider(this.provider, () => this.#request(prompt, given, {}, []))
    const { signal } = given
    if (exact) {
      const provider = await this.#ready()
      if (provider.countTokens) {
        const count = provider.countTokens.bind(provider)
        const ask = { ...(signal ? { signal } : {}) }
        const tokens = await this.#sideRequest(ask, (_, ended, touch) => count(request, ended, touch))
        return { tokens, method: 'vendor' }
      }
    }
    const count = await countRequest(request)
    if (!exact || count.method === 'exact') return count
    throw this.#lacks(
      `counts no tokens. ${whyEstimated(count, request.model)} Leave out exact for an estimate`,
    )
  }

  listModels(options: RequestOptions): Promise<ModelInfo[]> {
    return this.#sideRequest(options, (provider, signal) => {
      if (!provider.listModels) throw this.#lacks('lists no models')
      return provider.listModels(signal)
    })
  }

  showModel(model: string, options: RequestOptions): Promise<ModelInfo> {
    return this.#sideRequest(options, (provider, signal) => {
      if (!provider.showModel) throw this.#lacks('shows no single model')
      return provider.showModel(model, signal)
    })
  }

  deleteModel(model: string, options: RequestOptions): Promise<void> {
    return this.#sideRequest(options, (provider, signal) => {
      if (!provider.deleteModel) throw this.#lacks('deletes no models')
      return provider.deleteModel(model, signal)
    })
  }

  async *pullModel(model: string, options: RequestOptions): AsyncGenerator<PullProgress, void, void> {
    const deadline = this.#sideRequests.begin(options.signal, 'firstChunkMs')
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
      this.#sideRequests.end(deadline)
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    this.#sideRequests.cancel('the LLM was closed')
    const provider = await Promise.resolve(this.#loaded).catch(() => undefined)
    discard(this)
    await provider?.close?.()
  }

  #prepare(prompt: PromptFor, options: GenerateOptions, scope: CallScope): Call {
    const warnings: Warning[] = []
    const { request, settings, merged } = this.#request(prompt, options, scope, warnings)
    const call: Call = new Call({
      name: this.provider,
      admission: this.#admission,
      budget: this.#budget,
      settings,
      request,
      warnings,
      schema: merged.schema,
      signal: merged.signal,
      scope,
      provider: () => this.#ready(),
      onEnd: () => this.#calls.delete(call),
    })
    return call
  }

  #request(
    prompt: PromptFor,
    options: GenerateOptions,
    { isPlainText = false }: CallScope,
    warnings: Warning[],
  ): { request: ChatRequest; settings: ReturnType<typeof settingsOf>; merged: GenerateOptions } {
    this.throwIfClosed()
    checkCallOptions(options)
    const merged = mergeOptions(isPlainText ? plainTextDefaults(this.defaults) : this.defaults, options)
    const settings = settingsOf(merged)
    const given = typeof prompt === 'function' ? { normalized: prompt(this.provider) } : prompt
    return { request: chatRequest(given, merged, settings.timeouts, warnings), settings, merged }
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  throwIfClosed(): void {
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
  #sideRequest<T>(
    { signal }: RequestOptions,
    run: (provider: Provider, signal: AbortSignal, touch: () => void) => Promise<T>,
  ): Promise<T> {
    return this.#sideRequests.run(signal, async (ended, touch) => run(await this.#ready(), ended, touch))
  }

  #lacks(what: string): ConvokeError {
    return new ConvokeError('invalid_request', `This provider ${what}.`, { provider: this.provider })
  }
}

/** What vendors' clients tell of where they send, and on whose account: each SDK keeps it in a place of its own. */
function clientIdentity(client: object): unknown {
  const { baseURL, organization, project, config = {}, _options = {} } = client as ClientParts
  const headers = _options.defaultHeaders ?? _options.headers ?? config.headers
  return {
    address: baseURL ?? config.host ?? _options.baseUrl ?? _options.environment,
    headers: headers instanceof Headers ? Object.fromEntries(headers) : headers,
    query: _options.defaultQuery,
    organization,
    project,
  }
}

interface ClientParts {
  baseURL?: unknown
  organization?: unknown
  project?: unknown
  /** Of ollama. */
  config?: { host?: unknown; headers?: unknown }
  /** Of openai and @anthropic-ai/sdk (`default…`), and of cohere-ai. */
  _options?: Partial<
    Record<'baseUrl' | 'environment' | 'headers' | 'defaultHeaders' | 'defaultQuery', unknown>
  >
}
