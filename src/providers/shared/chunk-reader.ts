/**
 * Reads a stream: bytes become events, and events become chunks, in one batch for all bytes that arrived together.
 *
 * Room `providers/shared`: the parts that providers have in common. Imported by `providers`, `providers/anthropic`,
 * `providers/cohere`, `providers/gemini`, `providers/ollama`, `providers/openai`.
 */
import { ConvokeError, isConvokeError } from '../../errors.ts'
import type { WireDecoder, WireEvent } from '../../transport/wire-decoder.ts'
import type { VendorResponse } from '../../transport/vendor-response.ts'
import type { ProviderChunk } from '../../provider.ts'
import type { EventMapper, ReplyLabels } from './event-mapper.ts'
import type { Fields } from './fields.ts'
import { findEmbeddedError, readVendorError, embeddedError } from '../../transport/read-vendor-error.ts'

type Result = IteratorResult<readonly ProviderChunk[], undefined>

/**
 * The class implements the iterator itself because an async generator takes twice the steps for a batch, and a slow
 * stream has a batch for every chunk. When the stream came to its end, the socket stays open for the next request.
 */
export class ChunkReader implements AsyncIterator<readonly ProviderChunk[], undefined> {
  readonly #send: () => Promise<VendorResponse>
  readonly #decoder: WireDecoder
  readonly #mapper: EventMapper
  readonly #labels: ReplyLabels
  #response: VendorResponse | undefined
  /** Reads on; called when bytes have arrived. */
  #readMore: () => void = () => {}
  #resolve: (result: Result) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  /** Whether an event has arrived. */
  #hasBegun = false
  /** Whether the connection ended inside an event. */
  #isCut = false
  /** Whether the finish chunk or the end of the body has arrived. */
  #isEnded = false
  /** Whether the response was finished or destroyed. */
  #isClosed = false
  /** The error to throw once the complete chunks are delivered. */
  #pendingError: { error: unknown } | undefined

  constructor(
    send: () => Promise<VendorResponse>,
    decoder: WireDecoder,
    mapper: EventMapper,
    labels: ReplyLabels,
  ) {
    this.#send = send
    this.#decoder = decoder
    this.#mapper = mapper
    this.#labels = labels
  }

  /** Supports a single caller that awaits each batch before it asks for the next. */
  next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      if (this.#response) this.#read(this.#response)
      else
        this.#send().then(
          (response) => this.#begin(response),
          (error: unknown) => this.#fail(error),
        )
    })
  }

  return(): Promise<Result> {
    this.#close()
    return Promise.resolve({ done: true, value: undefined })
  }

  #begin(response: VendorResponse): void {
    this.#response = response
    this.#readMore = () => this.#read(response)
    // The caller left before the vendor answered.
    if (this.#isClosed) response.destroy()
    this.#read(response)
  }

  /** Runs as soon as bytes arrive, because a promise between them and the caller would be a step for every chunk. */
  #read(response: VendorResponse): void {
    try {
      while (!this.#isClosed) {
        if (this.#pendingError) throw this.#pendingError.error
        if (response.wait(this.#readMore)) return
        const chunks = this.#readBatch(response)
        if (this.#isEnded) this.#close()
        if (chunks.length > 0) return this.#resolve({ done: false, value: chunks })
      }
    } catch (error) {
      return this.#fail(error)
    }
    this.#resolve({ done: true, value: undefined })
  }

  #fail(error: unknown): void {
    // The promise is rejected first: closing may call `#readMore` at once, which would resolve it as the end.
    this.#reject(error)
    this.#close()
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#isEnded) this.#response?.finish()
    else this.#response?.destroy()
  }

  #readBatch(response: VendorResponse): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    const events = response.events(this.#decoder)
    try {
      for (const event of events ?? this.#decoder.end()) {
        this.#addEvent(response, event, chunks)
        if (this.#isEnded) return chunks
      }
      if (!events) {
        this.#addChunks(response, this.#mapper.end(this.#isCut), chunks)
        this.#isEnded = true
      }
    } catch (error) {
      if (chunks.length === 0) throw error
      this.#pendingError = { error }
    }
    return chunks
  }

  /** Adds the chunks of one event to the batch. */
  #addEvent(response: VendorResponse, event: WireEvent, chunks: ProviderChunk[]): void {
    const mapper = this.#mapper
    const isFirst = !this.#hasBegun
    this.#hasBegun = true
    const data = event.data.trim()
    if (data === '' && !event.isTail && event.name !== 'error') return
    if (mapper.done && data === '[DONE]') return this.#addChunks(response, mapper.done(), chunks)
    const text = isFirst || !isOrdinary(event) ? undefined : mapper.plainText?.exec(data)?.[1]
    if (text) {
      chunks.push({ type: 'text', content: text })
      return
    }
    const body = response.parse(event)
    if (body === undefined) {
      this.#isCut = true
      return
    }
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw this.#malformed('The vendor sent an event that is not a JSON object.')
    }
    const raw = response.clean(body, event)
    throwIfError(raw, event.name, this.#labels)
    this.#addChunks(response, this.#map(event, body as Fields, raw, isFirst), chunks)
  }

  #map(event: WireEvent, body: Fields, raw: unknown, isFirst: boolean): readonly ProviderChunk[] {
    const mapper = this.#mapper
    try {
      if (event.name !== 'stray') return mapper.event(body, raw)
      // Some servers answer with a whole reply although a stream was requested.
      if (mapper.whole && isFirst) return mapper.whole(body, raw)
    } catch (error) {
      if (isConvokeError(error)) throw error
      throw this.#malformed(`An event of the stream has an unknown shape: ${String(error)}`, error)
    }
    throw this.#malformed('The vendor sent text that is not part of the event stream.')
  }

  #addChunks(response: VendorResponse, added: readonly ProviderChunk[], chunks: ProviderChunk[]): void {
    for (const chunk of added) {
      chunks.push(redactLabels(response, chunk))
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

/** Takes the caller's keys out of the id, the model and the finish reason that a vendor sent. */
export function redactLabels(response: VendorResponse, chunk: ProviderChunk): ProviderChunk {
  if (chunk.type === 'start') {
    const { id, model } = chunk
    return {
      ...chunk,
      ...(id === undefined ? {} : { id: response.redact(id) }),
      ...(model === undefined ? {} : { model: response.redact(model) }),
    }
  }
  if (chunk.type !== 'finish' || chunk.rawFinishReason === undefined) return chunk
  return { ...chunk, rawFinishReason: response.redact(chunk.rawFinishReason) }
}

/**
 * Throws the error that a vendor reports inside a reply although the status said success.
 * @param raw the body or the event with every key of the caller taken out, so that the error may show it
 * @param eventName an event named `error` is an error whatever its body holds
 */
export function throwIfError(raw: unknown, eventName: string | undefined, labels: ReplyLabels): void {
  const found = findEmbeddedError(raw as Record<string, unknown>) ?? (eventName === 'error' ? raw : undefined)
  if (found) throw embeddedError(readVendorError(found), raw, labels)
}
