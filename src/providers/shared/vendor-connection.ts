/** Sends requests through a vendor's SDK and reads the responses, the same way for every built-in provider. */
import { ConvokeError } from '../../errors.ts'
import type { WireDecoder } from '../../transport/wire-decoder.ts'
import { exchangeThroughSdk } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import { Secrets } from '../../transport/secrets.ts'
import type { ProviderChunk, ProviderConfig } from '../../provider.ts'
import { ChunkReader, redactLabels, throwIfError } from './chunk-reader.ts'
import type { EventMapper, ReplyMapper } from './event-mapper.ts'
import type { Fields } from './fields.ts'

/** Time-outs of requests that call no model, such as a list of models. */
const sideRequestTimeouts = { connectMs: 10_000, idleMs: 30_000 }

/**
 * The time-out to set in an SDK. It is longer than any of convoke's and shorter than a Node timer's maximum, so that
 * the SDK's own clock never runs out.
 */
export const sdkTimeoutMs = 2_000_000_000

/** The model and the time-outs of one request. */
export interface ExchangeRequest {
  model?: string
  connectMs?: number
  idleMs?: number
}

export class VendorConnection {
  readonly #config: ProviderConfig
  readonly #ownFetch: () => Fetch | undefined
  readonly #secrets = new Secrets()

  /** @param ownFetch the user's own fetch; undefined for convoke's transport */
  constructor(config: ProviderConfig, ownFetch: () => Fetch | undefined) {
    this.#config = config
    this.#ownFetch = ownFetch
    this.#secrets.addHeaders(config.headers)
  }

  /**
   * Sends one request through the SDK.
   * @param path a part of the URL that only this request has; '' when the SDK sends nothing else through this fetch
   * @param call calls the SDK, with the fetch of this one request and the API key
   */
  async exchange(
    request: ExchangeRequest,
    signal: AbortSignal,
    path: string,
    call: (fetch: Fetch, key: string | undefined) => Promise<unknown>,
  ): Promise<VendorResponse> {
    const { name, maxResponseBytes, proxy } = this.#config
    const { model, connectMs, idleMs } = request
    const key = await this.#config.apiKey()
    this.#secrets.add(key)
    return exchangeThroughSdk(
      {
        provider: name,
        ...(model === undefined ? {} : { model }),
        connectMs: connectMs ?? sideRequestTimeouts.connectMs,
        idleMs: idleMs ?? sideRequestTimeouts.idleMs,
        signal,
        fetch: this.#ownFetch(),
        proxy,
        path,
        maxResponseBytes,
        secrets: this.#secrets,
      },
      (fetch) => call(fetch, key),
    )
  }

  /**
   * The body of a plain response, as an object.
   * @throws ConvokeError `malformed_response` when it is no object, or the error that came with status 200
   */
  async body(response: VendorResponse, model: string): Promise<{ body: Fields; raw: unknown }> {
    const { body, raw } = await response.json()
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.error('malformed_response', 'The reply is not a JSON object.', model)
    }
    throwIfError(raw, undefined, { provider: this.#config.name, model })
    return { body: body as Fields, raw }
  }

  /**
   * A field of a plain response that counts tokens.
   * @throws ConvokeError `malformed_response` when the field is no number
   */
  async tokens(response: VendorResponse, field: string, model: string): Promise<number> {
    const { body } = await this.body(response, model)
    const count = body[field]
    if (typeof count === 'number') return count
    throw this.error('malformed_response', `The reply has no number in ${field}.`, model)
  }

  /** The chunks of a plain response. */
  async wholeChunks(
    sent: Promise<VendorResponse>,
    mapper: ReplyMapper,
    model: string,
  ): Promise<ProviderChunk[]> {
    const response = await sent
    const { body, raw } = await this.body(response, model)
    return mapper.whole(body, raw).map((chunk) => redactLabels(response, chunk))
  }

  /** The chunks of a stream, in the batches in which they arrive. The request is sent when the first batch is read. */
  streamChunks(
    send: () => Promise<VendorResponse>,
    decoder: WireDecoder,
    mapper: EventMapper,
    model: string,
  ): AsyncIterable<readonly ProviderChunk[]> {
    const labels = { provider: this.#config.name, model }
    return { [Symbol.asyncIterator]: () => new ChunkReader(send, decoder, mapper, labels) }
  }

  error(
    code: 'malformed_response' | 'stream_truncated' | 'content_filtered',
    message: string,
    model: string,
  ): ConvokeError {
    return new ConvokeError(code, message, { provider: this.#config.name, model })
  }
}

/**
 * Keeps the clients of an SDK by API key, because some SDKs take long to make one. One client serves many requests;
 * each request brings its own fetch (see `delegatingFetch`).
 */
export class ClientCache<Client> {
  readonly #byKey = new Map<string | undefined, Client>()
  readonly #make: (key: string | undefined) => Client

  constructor(make: (key: string | undefined) => Client) {
    this.#make = make
  }

  of(key: string | undefined): Client {
    let client = this.#byKey.get(key)
    if (!client) {
      // An apiKey function may return a new key for every request, so the cache must not grow without a bound.
      if (this.#byKey.size >= maxClients) this.#byKey.clear()
      client = this.#make(key)
      this.#byKey.set(key, client)
    }
    return client
  }
}

const maxClients = 16

/**
 * The fetch that requests are sent with: the LLM's own option, or the fetch of the user's client unless that is the
 * global one. Undefined stands for convoke's transport.
 */
export function customFetch(
  config: ProviderConfig,
  client: { fetch?: Fetch | undefined; fetchOptions?: unknown } | undefined,
): Fetch | undefined {
  const isDefault = client?.fetch === globalThis.fetch && !client.fetchOptions
  return config.fetch ?? (isDefault ? undefined : client?.fetch)
}
