/** Reads a stream: bytes to events to chunks, a batch for what the network gave at once. */
import { ConvokeError, isConvokeError } from '../../errors.ts'
import type { WireDecoder, WireEvent } from '../../transport/decode.ts'
import { findFault, readVendorFault, replyError } from '../../transport/fault.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ProviderChunk } from '../../provider.ts'

/** Turns the events of one stream into chunks. */
export interface EventMapper {
  /**
   * Matches a whole event that is nothing but a piece of text without escapes, its only group. It is not parsed, which
   * would be half the cost of a chunk; any other event is.
   */
  readonly plainText?: RegExp | undefined
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

type Result = IteratorResult<readonly ProviderChunk[], undefined>

/** Whom an error is of. */
interface Labels {
  provider: string
  model: string
}

/**
 * An iterator by hand: an async generator takes twice the steps for a batch, and a stream that comes slowly has a batch
 * for every chunk. The socket is left to the next request when the stream came to its end.
 */
export class ChunkReader implements AsyncIterator<readonly ProviderChunk[], undefined> {
  readonly #send: () => Promise<VendorResponse>
  readonly #decoder: WireDecoder
  readonly #mapper: EventMapper
  readonly #labels: Labels
  #reply: VendorResponse | undefined
  #ready: () => void = () => {}
  #resolve: (result: Result) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  /** An event came. */
  #hasBegun = false
  /** The connection ended inside an event. */
  #isCut = false
  /** The finish chunk came, or the end of the body. */
  #isEnded = false
  /** It is over, one way or the other. */
  #isOver = false
  /** What broke the stream behind chunks that were whole: they go first. */
  #break: { error: unknown } | undefined

  constructor(
    send: () => Promise<VendorResponse>,
    decoder: WireDecoder,
    mapper: EventMapper,
    labels: Labels,
  ) {
    this.#send = send
    this.#decoder = decoder
    this.#mapper = mapper
    this.#labels = labels
  }

  /** For one caller, who waits for each. */
  next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      if (this.#reply) this.#read(this.#reply)
      else
        this.#send().then(
          (reply) => this.#begin(reply),
          (error: unknown) => this.#fail(error),
        )
    })
  }

  return(): Promise<Result> {
    this.#close()
    return Promise.resolve({ done: true, value: undefined })
  }

  #begin(reply: VendorResponse): void {
    this.#reply = reply
    this.#ready = () => this.#read(reply)
    // It was left before the vendor had answered.
    if (this.#isOver) reply.destroy()
    this.#read(reply)
  }

  /** Runs where the bytes come: a promise between them and the caller would be a step for every chunk. */
  #read(reply: VendorResponse): void {
    try {
      while (!this.#isOver) {
        if (this.#break) throw this.#break.error
        if (reply.wait(this.#ready)) return
        const chunks = this.#batch(reply)
        if (this.#isEnded) this.#close()
        if (chunks.length > 0) return this.#resolve({ done: false, value: chunks })
      }
    } catch (error) {
      return this.#fail(error)
    }
    this.#resolve({ done: true, value: undefined })
  }

  #fail(error: unknown): void {
    // Closing may call `ready` at once, which would take this for the end.
    this.#reject(error)
    this.#close()
  }

  #close(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isEnded) this.#reply?.finish()
    else this.#reply?.destroy()
  }

  #batch(reply: VendorResponse): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    const events = reply.events(this.#decoder)
    try {
      for (const event of events ?? this.#decoder.end()) {
        this.#event(reply, event, chunks)
        if (this.#isEnded) return chunks
      }
      if (!events) {
        this.#add(reply, this.#mapper.end(this.#isCut), chunks)
        this.#isEnded = true
      }
    } catch (error) {
      if (chunks.length === 0) throw error
      this.#break = { error }
    }
    return chunks
  }

  /** Adds the chunks of one event. */
  #event(reply: VendorResponse, event: WireEvent, chunks: ProviderChunk[]): void {
    const mapper = this.#mapper
    const isFirst = !this.#hasBegun
    this.#hasBegun = true
    const data = event.data.trim()
    if (data === '' && !event.isTail && event.name !== 'error') return
    if (mapper.done && data === '[DONE]') return this.#add(reply, mapper.done(), chunks)
    const text = isFirst || !isOrdinary(event) ? undefined : mapper.plainText?.exec(data)?.[1]
    if (text) {
      chunks.push({ type: 'text', content: text })
      return
    }
    const body = reply.parse(event)
    if (body === undefined) {
      this.#isCut = true
      return
    }
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.#malformed('The vendor sent an event that is not a JSON object.')
    }
    const fields = body as Record<string, unknown>
    const raw = reply.clean(body, event)
    throwIfFault(raw, event.name, this.#labels)
    try {
      if (event.name !== 'stray') this.#add(reply, mapper.event(fields, raw), chunks)
      else if (mapper.whole && isFirst) this.#add(reply, mapper.whole(fields, raw), chunks)
      else throw this.#malformed('The vendor sent something beside the stream.')
    } catch (error) {
      if (isConvokeError(error)) throw error
      throw this.#malformed(`An event of the stream has an unknown shape: ${String(error)}`, error)
    }
  }

  #add(reply: VendorResponse, added: readonly ProviderChunk[], chunks: ProviderChunk[]): void {
    for (const chunk of added) {
      chunks.push(redactLabels(reply, chunk))
      if (chunk.type !== 'finish') continue
      this.#isEnded = true
      return
    }
  }

  #malformed(message: string, cause?: unknown): ConvokeError {
    return new ConvokeError('malformed_response', message, { ...this.#labels, cause })
  }
}

function isOrdinary({ name, isTail }: WireEvent): boolean {
  return !isTail && name !== 'error' && name !== 'stray'
}

/** What a vendor says of its reply beside the text has no key in it, either. */
export function redactLabels(reply: VendorResponse, chunk: ProviderChunk): ProviderChunk {
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

/** `raw` has the shape of the body and no key, so what it tells may be shown. */
export function throwIfFault(raw: unknown, name: string | undefined, labels: Labels): void {
  const told = findFault(raw as Record<string, unknown>) ?? (name === 'error' ? raw : undefined)
  if (told) throw replyError(readVendorFault(told), raw, labels)
}
