/**
 * Ollama through the `ollama` SDK. A request goes to `/api/chat`, unless its `vendor` has `raw`, `suffix`, `context` or
 * `template`: only `/api/generate` has these fields, and it takes one user message and no tools.
 */
import type { Ollama } from 'ollama'
import { ConvokeError } from '../../errors.ts'
import { vendorError } from '../../transport/vendor-error.ts'
import { whenReady } from '../../transport/byte-source.ts'
import { NdjsonDecoder } from '../../transport/wire-decoder.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import { readVendorError } from '../../transport/read-vendor-error.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ModelInfo, PullProgress } from '../../types.ts'
import type { ChatRequest, CreateProvider, ProviderConfig } from '../../provider.ts'
import { customFetch } from '../shared/vendor-connection.ts'
import type { ReplyLabels } from '../shared/event-mapper.ts'
import { asFields } from '../shared/fields.ts'
import type { ExchangeRequest } from '../shared/vendor-connection.ts'
import { VendorProvider } from '../shared/vendor-provider.ts'
import { OllamaEventMapper } from './events.ts'
import { chatBody, generateBody, wantsGenerate } from './request.ts'

export const create: CreateProvider = async (config) => {
  const { Ollama } = await import('ollama')
  return new OllamaProvider(config, Ollama)
}

/** The parts of a user's own client that are read here. The SDK's types hide them. */
interface OwnClient {
  config?: { host?: string; headers?: ConstructorParameters<typeof Headers>[0] }
  fetch?: Fetch
}

class OllamaProvider extends VendorProvider {
  readonly #sdk: typeof Ollama

  constructor(config: ProviderConfig, sdk: typeof Ollama) {
    super(config, () => customFetch(config, config.client as OwnClient | undefined))
    this.#sdk = sdk
  }

  async listModels(signal: AbortSignal): Promise<ModelInfo[]> {
    const response = await this.#exchange({}, signal, '/api/tags', (client) => client.list())
    const { body } = await this.connection.body(response, '')
    return ((body['models'] as TagFields[] | undefined) ?? []).map((raw) => ({
      id: raw.model ?? raw.name ?? '',
      ...(raw.name ? { name: raw.name } : {}),
      ...createdAtOf(raw.modified_at),
      ...(raw.size === undefined ? {} : { sizeBytes: raw.size }),
      raw,
    }))
  }

  async showModel(model: string, signal: AbortSignal): Promise<ModelInfo> {
    const response = await this.#exchange({ model }, signal, '/api/show', (client) => client.show({ model }))
    const { body, raw } = await this.connection.body(response, model)
    const info = asFields(body['model_info'])
    // An image encoder has a context length of its own, so the one of the model's architecture is preferred.
    const contextWindow =
      info[`${String(info['general.architecture'])}.context_length`] ??
      Object.entries(info).find(([key]) => key.endsWith('.context_length'))?.[1]
    return {
      id: model,
      ...(typeof contextWindow === 'number' ? { contextWindow } : {}),
      ...createdAtOf(body['modified_at'] as string | undefined),
      raw,
    }
  }

  /**
   * Loads a model into the server.
   * @throws ConvokeError `stream_truncated` when the download ends without `success`
   */
  async *pullModel(model: string, signal: AbortSignal): AsyncGenerator<PullProgress, void, void> {
    const response = await this.#exchange({ model }, signal, '/api/pull', (client) =>
      client.pull({ model, stream: true }),
    )
    try {
      const decoder = new NdjsonDecoder(this.config.maxLineBytes)
      for (let isOver = false; !isOver;) {
        await whenReady(response)
        const events = response.events(decoder)
        isOver = !events
        for (const event of events ?? decoder.end()) {
          const body = response.parse(event) as PullFields | null | undefined
          if (body?.error)
            throw vendorError(readVendorError(response.clean(body, event)), { provider: this.name, model })
          if (typeof body?.status !== 'string') continue
          yield progress(body)
          if (body.status === 'success') return
        }
      }
    } finally {
      response.destroy()
    }
    const message = 'The download ended without its last line ("status": "success").'
    throw new ConvokeError('stream_truncated', message, { provider: this.name, model })
  }

  async deleteModel(model: string, signal: AbortSignal): Promise<void> {
    const response = await this.#exchange({ model }, signal, '/api/delete', (client) =>
      client.delete({ model }),
    )
    await response.text()
  }

  protected replyMapper(labels: ReplyLabels): OllamaEventMapper {
    return new OllamaEventMapper(labels)
  }

  protected override decoder(): NdjsonDecoder {
    return new NdjsonDecoder(this.config.maxLineBytes)
  }

  protected async send(request: ChatRequest, signal: AbortSignal, stream: boolean): Promise<VendorResponse> {
    // The mapped bodies are wider than the SDK's types, because `vendor` may hold fields of any name.
    if (wantsGenerate(request)) {
      const body = generateBody(request, this.name, stream) as never
      return this.#exchange(request, signal, '/api/generate', (client) => client.generate(body))
    }
    const body = chatBody(request, this.name, stream) as never
    return this.#exchange(request, signal, '/api/chat', (client) => client.chat(body))
  }

  #exchange(
    request: ExchangeRequest,
    signal: AbortSignal,
    path: string,
    call: (client: Ollama) => Promise<unknown>,
  ): Promise<VendorResponse> {
    return this.connection.exchange(request, signal, path, (fetch, key) => call(this.#client(key, fetch)))
  }

  /** A client for one request, because a client keeps one fetch and each request has its own. */
  #client(key: string | undefined, fetch: Fetch): Ollama {
    const own = (this.config.client as OwnClient | undefined)?.config
    const headers = new Headers(own?.headers)
    for (const [name, value] of Object.entries(this.config.headers ?? {})) headers.set(name, value)
    const host = this.config.baseURL ?? own?.host
    if (key && !headers.has('authorization')) headers.set('authorization', `Bearer ${key}`)
    return new this.#sdk({ ...(host ? { host } : {}), headers, fetch })
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

/** The time at which the model came to this server. */
function createdAtOf(modifiedAt: string | undefined): { createdAt?: Date } {
  const createdAt = new Date(modifiedAt ?? Number.NaN)
  return Number.isNaN(createdAt.getTime()) ? {} : { createdAt }
}
