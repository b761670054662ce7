/** What every built-in provider does the same way: one exchange through its SDK, and the reading of the reply. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { WireDecoder, WireEvent } from '../transport/decode.ts'
import { exchange } from '../transport/exchange.ts'
import type { Fetch } from '../transport/exchange.ts'
import { findFault, readFault, replyError } from '../transport/fault.ts'
import type { Reply } from '../transport/reply.ts'
import { Secrets } from '../transport/secrets.ts'
import type { ProviderChunk, ProviderConfig } from './provider.ts'

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

/** Turns the events of one stream into chunks. */
export interface EventFold {
  /**
   * Matches a whole event that is nothing but a piece of text without escapes, its only group. It is not parsed, which
   * would be half the cost of a chunk; any other event is.
   */
  readonly plainText?: RegExp
  /** The chunks that one event gives; the finish chunk among them when it was the vendor's terminal event. */
  event(body: Record<string, unknown>, raw: unknown): readonly ProviderChunk[]
  /** The text `[DONE]` came (OpenAI and its kin). */
  done?(): readonly ProviderChunk[]
  /** The chunks of a whole reply, which some servers send although a stream was asked for. */
  whole?(body: Record<string, unknown>, raw: unknown): readonly ProviderChunk[]
  /**
   * The connection ended, `isCut` inside an event. Gives the finish chunk where the vendor has no terminal event of its
   * own.
   * @throws ConvokeError `stream_truncated` where it has one and it did not come
   */
  end(isCut: boolean): readonly ProviderChunk[]
}

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
  ): Promise<Reply> {
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
  async body(reply: Reply, model: string): Promise<{ body: Record<string, unknown>; raw: unknown }> {
    const { body, raw } = await reply.json()
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.error('malformed_response', 'The reply is not a JSON object.', model)
    }
    this.#throwIfFault(raw, undefined, model)
    return { body: body as Record<string, unknown>, raw }
  }

  /** The chunks of a plain reply. */
  async whole(
    sent: Promise<Reply>,
    fold: { whole(body: Record<string, unknown>, raw: unknown): readonly ProviderChunk[] },
    model: string,
  ): Promise<ProviderChunk[]> {
    const reply = await sent
    const { body, raw } = await this.body(reply, model)
    return fold.whole(body, raw).map((chunk) => labelled(reply, chunk))
  }

  /**
   * The chunks of a stream, as they come together. The socket is left to the next request when the stream came to its
   * end.
   */
  async *chunks(
    send: () => Promise<Reply>,
    decoder: WireDecoder,
    fold: EventFold,
    model: string,
  ): AsyncGenerator<readonly ProviderChunk[], void, void> {
    const reply = await send()
    const reading: Reading = { reply, fold, model, hasBegun: false, isCut: false, isEnded: false }
    try {
      for (;;) {
        const events = await reply.events(decoder)
        const chunks: ProviderChunk[] = []
        try {
          for (const event of events ?? decoder.end()) {
            this.#read(reading, event, chunks)
            if (reading.isEnded) break
          }
          if (!events && !reading.isEnded) add(reading, fold.end(reading.isCut), chunks)
        } catch (error) {
          // What came before the break is not lost.
          if (chunks.length > 0) yield chunks
          throw error
        }
        if (!events) reading.isEnded = true
        if (chunks.length > 0) yield chunks
        if (reading.isEnded) return
      }
    } finally {
      if (reading.isEnded) reply.finish()
      else reply.destroy()
    }
  }

  error(
    code: 'malformed_response' | 'stream_truncated' | 'content_filtered',
    message: string,
    model: string,
  ) {
    return new ConvokeError(code, message, { provider: this.#config.name, model })
  }

  /** Adds the chunks of one event. */
  #read(reading: Reading, event: WireEvent, chunks: ProviderChunk[]): void {
    const { reply, fold, model, hasBegun } = reading
    reading.hasBegun = true
    const data = event.data.trim()
    if (data === '' && !event.isTail && event.name !== 'error') return
    if (fold.done && data === '[DONE]') return add(reading, fold.done(), chunks)
    const text = hasBegun && isOrdinary(event) && fold.plainText?.exec(data)?.[1]
    if (text) {
      chunks.push({ type: 'text', content: text })
      return
    }
    const body = reply.parse(event)
    if (body === undefined) {
      reading.isCut = true
      return
    }
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.error('malformed_response', 'The vendor sent an event that is not a JSON object.', model)
    }
    const fields = body as Record<string, unknown>
    const raw = reply.clean(body, event)
    this.#throwIfFault(raw, event.name, model)
    try {
      if (event.name !== 'stray') add(reading, fold.event(fields, raw), chunks)
      else if (fold.whole && !hasBegun) add(reading, fold.whole(fields, raw), chunks)
      else throw this.error('malformed_response', 'The vendor sent something beside the stream.', model)
    } catch (error) {
      if (isConvokeError(error)) throw error
      const message = `An event of the stream has an unknown shape: ${String(error)}`
      const labels = { provider: this.#config.name, model }
      throw new ConvokeError('malformed_response', message, { ...labels, cause: error })
    }
  }

  /** `raw` has the shape of the body and no key, so what it tells may be shown. */
  #throwIfFault(raw: unknown, name: string | undefined, model: string): void {
    const told = findFault(raw as Record<string, unknown>) ?? (name === 'error' ? raw : undefined)
    if (told) throw replyError(readFault(told), raw, { provider: this.#config.name, model })
  }
}

/** How far the reading of one stream has come. */
interface Reading {
  readonly reply: Reply
  readonly fold: EventFold
  readonly model: string
  /** An event came. */
  hasBegun: boolean
  /** The connection ended inside an event. */
  isCut: boolean
  /** The finish chunk came. */
  isEnded: boolean
}

/** What a vendor says of its reply beside the text has no key in it, either. */
function labelled(reply: Reply, chunk: ProviderChunk): ProviderChunk {
  if (chunk.type === 'start') {
    const { id, model } = chunk
    return {
      ...chunk,
      ...(id === undefined ? {} : { id: reply.redact(id) }),
      ...(model === undefined ? {} : { model: reply.redact(model) }),
    }
  }
  if (chunk.type !== 'finish' || chunk.rawFinishReason === undefined) return chunk
  return { ...chunk, rawFinishReason: reply.redact(chunk.rawFinishReason) }
}

function isOrdinary({ name, isTail }: WireEvent): boolean {
  return !isTail && name !== 'error' && name !== 'stray'
}

function add(reading: Reading, added: readonly ProviderChunk[], chunks: ProviderChunk[]): void {
  for (const chunk of added) {
    chunks.push(labelled(reading.reply, chunk))
    if (chunk.type === 'finish') {
      reading.isEnded = true
      return
    }
  }
}
