/** What every built-in provider does the same way: one exchange through its SDK, and the reading of the reply. */
import { ConvokeError } from '../../errors.ts'
import type { WireDecoder } from '../../transport/decode.ts'
import { exchange } from '../../transport/sdk-intercept.ts'
import type { Fetch } from '../../transport/sdk-intercept.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import { Secrets } from '../../transport/secrets.ts'
import { ChunkReader, redactLabels, throwIfFault } from './chunk-reader.ts'
import type { EventMapper } from './chunk-reader.ts'
import type { ProviderChunk, ProviderConfig } from '../../provider.ts'

/** Time-outs of requests that are no calls of a model: lists of models and the like. */
const plainLimits = { connectMs: 10_000, idleMs: 30_000 }

/** Above any time-out of ours, and below what a Node timer holds: the SDKs' own clocks never ring. */
export const sdkTimeoutMs = 2_000_000_000

/**
 * The fetch that requests go out by: the LLM's own option, or that of the user's client, which stays in use where it is
 * not merely the default; undefined for convoke's transport.
 */
export function fetchOf(
  config: ProviderConfig,
  client: { fetch?: Fetch | undefined; fetchOptions?: unknown } | undefined,
): Fetch | undefined {
  const isDefault = client?.fetch === globalThis.fetch && !client.fetchOptions
  return config.fetch ?? (isDefault ? undefined : client?.fetch)
}

/** Clients of an SDK by key, for SDKs whose clients are dear to make; requests bring their fetch along by `carry`. */
export class Clients<Client> {
  readonly #byKey = new Map<string | undefined, Client>()
  readonly #make: (key: string | undefined) => Client

  constructor(make: (key: string | undefined) => Client) {
    this.#make = make
  }

  of(key: string | undefined): Client {
    let client = this.#byKey.get(key)
    if (!client) {
      // A function may give a new key for every request.
      if (this.#byKey.size >= maxClients) this.#byKey.clear()
      client = this.#make(key)
      this.#byKey.set(key, client)
    }
    return client
  }
}

const maxClients = 16

export class VendorConnection {
  readonly secrets = new Secrets()
  readonly #config: ProviderConfig

  constructor(config: ProviderConfig) {
    this.#config = config
    this.secrets.addHeaders(config.headers)
  }

  /** The key for the next request. */
  async key(): Promise<string | undefined> {
    const key = await this.#config.apiKey()
    this.secrets.add(key)
    return key
  }

  /** Sends one request through the SDK; `path` is a part of the URL that only this request has. */
  exchange(
    request: { model?: string; connectMs?: number; idleMs?: number; fetch?: Fetch | undefined },
    signal: AbortSignal,
    path: string,
    call: (fetch: Fetch) => Promise<unknown>,
  ): Promise<VendorResponse> {
    const { name, maxResponseBytes, proxy } = this.#config
    const { model, connectMs, idleMs } = request
    return exchange(
      {
        provider: name,
        ...(model === undefined ? {} : { model }),
        connectMs: connectMs ?? plainLimits.connectMs,
        idleMs: idleMs ?? plainLimits.idleMs,
        signal,
        fetch: request.fetch ?? this.#config.fetch,
        proxy,
        path,
        maxResponseBytes,
        secrets: this.secrets,
      },
      call,
    )
  }

  /** The whole of a plain reply, as an object. @throws ConvokeError for an error that came with status 200 */
  async body(reply: VendorResponse, model: string): Promise<{ body: Record<string, unknown>; raw: unknown }> {
    const { body, raw } = await reply.json()
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.error('malformed_response', 'The reply is not a JSON object.', model)
    }
    throwIfFault(raw, undefined, { provider: this.#config.name, model })
    return { body: body as Record<string, unknown>, raw }
  }

  /** The field of a plain reply that counts tokens. @throws ConvokeError `malformed_response` when it does not */
  async tokens(reply: VendorResponse, field: string, model: string): Promise<number> {
    const { body } = await this.body(reply, model)
    const value = body[field]
    if (typeof value === 'number') return value
    throw this.error('malformed_response', `The reply has no number in ${field}.`, model)
  }

  /** The chunks of a plain reply. */
  async whole(
    sent: Promise<VendorResponse>,
    mapper: { whole(body: Record<string, unknown>, raw: unknown): readonly ProviderChunk[] },
    model: string,
  ): Promise<ProviderChunk[]> {
    const reply = await sent
    const { body, raw } = await this.body(reply, model)
    return mapper.whole(body, raw).map((chunk) => redactLabels(reply, chunk))
  }

  /** The chunks of a stream, as they come together. The request is sent when the first are asked for. */
  chunks(
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
  ) {
    return new ConvokeError(code, message, { provider: this.#config.name, model })
  }
}
