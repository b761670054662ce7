/**
 * Ollama through the `ollama` SDK. Requests go to `/api/chat`; one whose `vendor` has `raw`, `suffix`, `context` or
 * `template` goes to `/api/generate`, which alone has them: one user message, no tools.
 */
import type { Ollama } from 'ollama'
import { ConvokeError } from '../../errors.ts'
import { vendorError } from '../../transport/vendor-error.ts'
import { arrival } from '../../transport/body.ts'
import { NdjsonDecoder } from '../../transport/decode.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import { readVendorFault } from '../../transport/fault.ts'
import type { ModelInfo, PullProgress } from '../../types.ts'
import { chatBody, generateBody, wantsGenerate } from './request.ts'
import { ChatEventMapper } from './events.ts'
import type { ChatRequest, CreateProvider, Provider, ProviderChunk, ProviderConfig } from '../../provider.ts'
import { fetchOf, VendorConnection } from '../shared/vendor-connection.ts'

export const create: CreateProvider = async (config) => {
  const { Ollama } = await import('ollama')
  return new OllamaProvider(config, Ollama)
}

/** The parts of a user's own client that are used; the SDK's types hide them. */
interface OwnClient {
  config?: { host?: string; headers?: ConstructorParameters<typeof Headers>[0] }
  fetch?: Fetch
}

class OllamaProvider implements Provider {
  readonly name: string
  readonly #config: ProviderConfig
  readonly #sdk: typeof Ollama
  readonly #connection: VendorConnection

  constructor(config: ProviderConfig, sdk: typeof Ollama) {
    this.name = config.name
    this.#config = config
    this.#sdk = sdk
    this.#connection = new VendorConnection(config)
  }

  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<readonly ProviderChunk[]> {
    return this.#connection.chunks(
      () => this.#send(request, signal, true),
      new NdjsonDecoder(this.#config.maxLineBytes),
      new ChatEventMapper(this.name, request.model),
      request.model,
    )
  }

  generate(request: ChatRequest, signal: AbortSignal): Promise<ProviderChunk[]> {
    return this.#connection.whole(
      this.#send(request, signal, false),
      new ChatEventMapper(this.name, request.model),
      request.model,
    )
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const reply = await this.#exchange({}, signal, '/api/tags', (client) => client.list())
    const { body } = await this.#connection.body(reply, '')
    return ((body['models'] as TagFields[] | undefined) ?? []).map((raw) => ({
      id: raw.model ?? raw.name ?? '',
      ...(raw.name ? { name: raw.name } : {}),
      ...dateOf(raw.modified_at),
      ...(raw.size === undefined ? {} : { sizeBytes: raw.size }),
      raw,
    }))
  }

  async showModel(model: string, signal: AbortSignal): Promise<ModelInfo> {
    const reply = await this.#exchange({ model }, signal, '/api/show', (client) => client.show({ model }))
    const { body, raw } = await this.#connection.body(reply, model)
    const info = (body['model_info'] ?? {}) as Record<string, unknown>
    // A picture encoder has a context length of its own: the architecture's is the one that is meant.
    const contextWindow =
      info[`${String(info['general.architecture'])}.context_length`] ??
      Object.entries(info).find(([key]) => key.endsWith('.context_length'))?.[1]
    return {
      id: model,
      ...(typeof contextWindow === 'number' ? { contextWindow } : {}),
      ...dateOf(body['modified_at'] as string | undefined),
      raw,
    }
  }

  /** Loads a model into the server. @throws ConvokeError `stream_truncated` when it ends without `success` */
  async *pullModel(model: string, signal: AbortSignal): AsyncGenerator<PullProgress, void, void> {
    const reply = await this.#exchange({ model }, signal, '/api/pull', (client) =>
      client.pull({ model, stream: true }),
    )
    try {
      const decoder = new NdjsonDecoder(this.#config.maxLineBytes)
      for (let isOver = false; !isOver;) {
        await arrival(reply)
        const events = reply.events(decoder)
        isOver = !events
        for (const event of events ?? decoder.end()) {
          const body = reply.parse(event) as PullFields | null | undefined
          if (body?.error)
            throw vendorError(readVendorFault(reply.clean(body, event)), { provider: this.name, model })
          if (typeof body?.status !== 'string') continue
          yield progress(body)
          if (body.status === 'success') return
        }
      }
    } finally {
      reply.destroy()
    }
    const message = 'The download ended without its last line ("status": "success").'
    throw new ConvokeError('stream_truncated', message, { provider: this.name, model })
  }

  async deleteModel(model: string, signal: AbortSignal): Promise<void> {
    const reply = await this.#exchange({ model }, signal, '/api/delete', (client) => client.delete({ model }))
    await reply.text()
  }

  #send(request: ChatRequest, signal: AbortSignal, stream: boolean) {
    // The mapped bodies are wider than the SDK's types: `vendor` may hold fields of any name.
    if (wantsGenerate(request)) {
      const body = generateBody(request, this.name, stream) as never
      return this.#exchange(request, signal, '/api/generate', (client) => client.generate(body))
    }
    const body = chatBody(request, this.name, stream) as never
    return this.#exchange(request, signal, '/api/chat', (client) => client.chat(body))
  }

  async #exchange(
    request: { model?: string; connectMs?: number; idleMs?: number },
    signal: AbortSignal,
    path: string,
    call: (client: Ollama) => Promise<unknown>,
  ) {
    const key = await this.#connection.key()
    return this.#connection.exchange({ ...request, fetch: this.#ownFetch() }, signal, path, (fetch) =>
      call(this.#client(key, fetch)),
    )
  }

  /** A client for one request: its fetch is that request's own. */
  #client(key: string | undefined, fetch: Fetch): Ollama {
    const own = (this.#config.client as OwnClient | undefined)?.config
    const headers = new Headers(own?.headers)
    for (const [name, value] of Object.entries(this.#config.headers ?? {})) headers.set(name, value)
    const host = this.#config.baseURL ?? own?.host
    if (key && !headers.has('authorization')) headers.set('authorization', `Bearer ${key}`)
    return new this.#sdk({ ...(host ? { host } : {}), headers, fetch })
  }

  /** The fetch of a user's own client stays in use, where it is not merely the default. */
  #ownFetch(): Fetch | undefined {
    return fetchOf(this.#config, this.#config.client as OwnClient | undefined)
  }
}

interface TagFields {
  name?: string
  model?: string
  modified_at?: string
  size?: number
}

interface PullFields {
  status?: string
  digest?: string
  total?: number
  completed?: number
  error?: unknown
}

function progress({ status = '', digest, total, completed }: PullFields): PullProgress {
  return {
    status,
    ...(digest === undefined ? {} : { digest }),
    ...(total === undefined ? {} : { totalBytes: total }),
    ...(completed === undefined ? {} : { completedBytes: completed }),
  }
}

/** When the model came to this server. */
function dateOf(modifiedAt: string | undefined): { createdAt?: Date } {
  const createdAt = new Date(modifiedAt ?? Number.NaN)
  return Number.isNaN(createdAt.getTime()) ? {} : { createdAt }
}
