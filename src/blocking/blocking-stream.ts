/** BlockingStream: a reply chunk by chunk, for a thread that waits for each chunk. */
import type { ConvokeError } from '../errors.ts'
import { deserializeError } from '../threads/serialize-error.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { Answer } from '../threads/answer.ts'
import type { CallUpdate } from './protocol.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import type { BlockingCall } from './blocking-call.ts'
import type { PartialResponse } from '../response/partial-response.ts'

/** Cancels the calls of streams that were garbage-collected, and drops what has arrived for them. */
const collected = new FinalizationRegistry<BlockingCall>((call) => call.abandon())

/**
 * The stream that `generate(prompt, { stream: true })` returns. The request is sent at once, and its reply is read in
 * another thread; `next()` blocks until there is a chunk. Leaving the loop cancels the request and closes the socket. The
 * stream ends by a `finish` chunk or by throwing one ConvokeError, never both.
 */
export class BlockingStream<Response extends GenerateResponse = GenerateResponse>
  implements IterableIterator<StreamChunk, undefined>, Disposable
{
  readonly #call: BlockingCall
  readonly #readResult: (result: Answer<unknown>) => Response
  readonly #partialResponse: PartialResponse
  #chunks: StreamChunk[] = []
  /** How many of `#chunks` the reader has taken. */
  #taken = 0
  #isOver = false
  #response: Response | undefined
  #error: ConvokeError | undefined
  /** The error needs no throwing any more: the reader has got it, or has left. */
  #isErrorDelivered = false

  /** @internal */
  constructor(
    call: BlockingCall,
    readResult: (result: Answer<unknown>) => Response,
    partialResponse: PartialResponse,
  ) {
    this.#call = call
    this.#partialResponse = partialResponse
    this.#readResult = readResult
    collected.register(this, call)
  }

  /**
   * The whole reply. It blocks until the reply is complete, and skips the chunks that were not read yet.
   * @throws ConvokeError the error that ended the stream. A stream whose loop was left throws `cancelled`; the chunks that
   * had arrived, and their usage, are in `error.partial`
   */
  get response(): Response {
    while (!this.#isOver) {
      this.#taken = this.#chunks.length
      this.#receive()
    }
    if (this.#error) throw this.#error
    return this.#response as Response
  }

  /** Only the visible text, piece by piece. Iterate either the text or the stream, because a stream is read once. */
  get text(): Iterable<string> {
    return textOf(this)
  }

  /** Blocks until the next chunk is there. @throws ConvokeError the error that ended the stream, once */
  next(): IteratorResult<StreamChunk, undefined> {
    while (this.#taken === this.#chunks.length) {
      if (!this.#isOver) this.#receive()
      else if (!this.#error || this.#isErrorDelivered) return { done: true, value: undefined }
      else {
        this.#isErrorDelivered = true
        throw this.#error
      }
    }
    return { done: false, value: this.#chunks[this.#taken++] as StreamChunk }
  }

  /** Ends the request, as leaving a `for` loop does. */
  return(): IteratorResult<StreamChunk, undefined> {
    this.cancel('the loop was left')
    this.#taken = this.#chunks.length
    this.#isErrorDelivered = true
    return { done: true, value: undefined }
  }

  /**
   * Ends the request; the socket is closed when this returns. The reader and `response` get the error `cancelled`. After
   * the end of the stream it does nothing.
   */
  cancel(reason = 'the stream was cancelled'): void {
    if (this.#isOver) return
    this.#call.cancel(reason)
    while (!this.#isOver) this.#receive()
  }

  [Symbol.iterator](): this {
    return this
  }

  [Symbol.dispose](): void {
    this.cancel('the stream was disposed')
  }

  /** Blocks until there is an update. An error ends the stream instead of being thrown here. */
  #receive(): void {
    let update: CallUpdate
    try {
      update = this.#call.wait()
    } catch (error) {
      return this.#fail(this.#partialResponse.attachTo(error as ConvokeError))
    }
    const { chunks, result } = update
    if (this.#taken > 0) this.#chunks = this.#chunks.slice(this.#taken)
    this.#taken = 0
    for (const chunk of chunks) {
      this.#partialResponse.add(chunk)
      this.#chunks.push(deserializeChunk(chunk))
    }
    if (result) this.#end(result)
    else this.#call.noteRead(chunks.length)
  }

  #end(result: Answer<unknown>): void {
    try {
      this.#response = this.#readResult(result)
      this.#isOver = true
    } catch (error) {
      this.#fail(error as ConvokeError)
    }
  }

  #fail(error: ConvokeError): void {
    this.#error = error
    this.#isOver = true
  }
}

/** A `reset` chunk holds an error, which crossed as data. */
function deserializeChunk(chunk: StreamChunk): StreamChunk {
  return chunk.type === 'reset'
    ? { ...chunk, error: deserializeError(chunk.error as unknown as SerializedError) }
    : chunk
}

function* textOf(stream: Iterable<StreamChunk>): Generator<string, void, void> {
  for (const { content } of stream) if (content) yield content
}
