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

/** Turns the events of one stream into chunks. */
export interface EventFold {
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
    const { name, maxResponseBytes } = this.#config
    return exchange(
      {
        ...plainLimits,
        ...request,
        provider: name,
        signal,
        fetch: request.fetch ?? this.#config.fetch,
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

  /** The chunks of a stream. The socket is left to the next request when the stream came to its end. */
  async *chunks(
    reply: Reply,
    decoder: WireDecoder,
    fold: EventFold,
    model: string,
  ): AsyncGenerator<ProviderChunk, void, void> {
    const batches = reply.events(decoder)
    let isEnded = false
    let isCut = false
    let hasBegun = false
    try {
      for (let next = await batches.next(); !next.done; next = await batches.next()) {
        for (const event of next.value) {
          const read = this.#read(reply, event, fold, model, hasBegun)
          hasBegun = true
          if (!read) isCut = true
          for (const chunk of read ?? []) {
            if (chunk.type === 'finish') isEnded = true
            yield chunk
          }
          if (isEnded) return
        }
      }
      isEnded = true
      yield* fold.end(isCut)
    } finally {
      if (isEnded) void drain(reply, batches)
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

  /** The chunks of one event; undefined when the end of the connection cut it off. */
  #read(
    reply: Reply,
    event: WireEvent,
    fold: EventFold,
    model: string,
    hasBegun: boolean,
  ): readonly ProviderChunk[] | undefined {
    const isBlank = event.data.trim() === '' && !event.isTail
    if (isBlank && event.name !== 'error') return []
    if (fold.done && event.data.trim() === '[DONE]') return fold.done()
    const parsed = reply.parse(event)
    if (!parsed) return undefined
    const body = parsed.body
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.error('malformed_response', 'The vendor sent an event that is not a JSON object.', model)
    }
    const fields = body as Record<string, unknown>
    this.#throwIfFault(parsed.raw, event.name, model)
    try {
      if (event.name !== 'stray') return fold.event(fields, parsed.raw)
      if (fold.whole && !hasBegun) return fold.whole(fields, parsed.raw)
      throw this.error('malformed_response', 'The vendor sent something beside the stream.', model)
    } catch (error) {
      if (isConvokeError(error)) throw error
      throw new ConvokeError(
        'malformed_response',
        `An event of the stream has an unknown shape: ${String(error)}`,
        {
          provider: this.#config.name,
          model,
          cause: error,
        },
      )
    }
  }

  /** `raw` has the shape of the body and no key, so what it tells may be shown. */
  #throwIfFault(raw: unknown, name: string | undefined, model: string): void {
    const told = findFault(raw as Record<string, unknown>) ?? (name === 'error' ? raw : undefined)
    if (told) throw replyError(readFault(told), raw, { provider: this.#config.name, model })
  }
}

/** How long the rest of a finished body may take before its socket is given up. */
const drainMs = 1_000

/** Reads a body to its end after the terminal event, so that its socket can be used again. */
async function drain(reply: Reply, batches: AsyncGenerator<WireEvent[], void, void>): Promise<void> {
  const timer = setTimeout(() => reply.destroy(), drainMs)
  timer.unref()
  try {
    while (!(await batches.next()).done);
  } catch {
    // The reply was whole; what breaks after it concerns nobody.
  } finally {
    clearTimeout(timer)
    reply.destroy()
  }
}
