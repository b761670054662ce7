/** BlockingStream: a reply as it comes, for a thread that waits for each piece of it. */
import type { ConvokeError } from '../errors.ts'
import { deserializeError } from '../threads/serialize-error.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { Answer } from '../threads/answer.ts'
import type { BlockingNews } from './protocol.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import type { BlockingCall } from './channel.ts'
import type { PartialResponse } from '../response/partial-response.ts'

/** Streams that nobody has any more: their calls are cancelled, and what came of them is forgotten. */
const dropped = new FinalizationRegistry<BlockingCall>((call) => call.drop())

/**
 * What `generate(prompt, { stream: true })` gives. The request is sent at once, and its reply read in another thread;
 * `next()` blocks until there is a chunk. Leaving the loop cancels the request and closes the socket. It ends by a
 * `finish` chunk or by throwing one ConvokeError, never both.
 */
export class BlockingStream<Response extends GenerateResponse = GenerateResponse>
  implements IterableIterator<StreamChunk, undefined>, Disposable
{
  readonly #call: BlockingCall
  readonly #read: (end: Answer<unknown>) => Response
  readonly #partialResponse: PartialResponse
  #chunks: StreamChunk[] = []
  /** Chunks of `#chunks` that were read already. */
  #taken = 0
  #isOver = false
  #response: Response | undefined
  #error: ConvokeError | undefined
  /** The reader left, or was told of the error. */
  #isTold = false

  /** @internal */
  constructor(
    call: BlockingCall,
    read: (end: Answer<unknown>) => Response,
    partialResponse: PartialResponse,
  ) {
    this.#call = call
    this.#partialResponse = partialResponse
    this.#read = read
    dropped.register(this, call)
  }

  /**
   * Blocks until the reply is whole, and lets pass what was not read of it.
   * @throws ConvokeError the one that ended the stream; of one that was left, `cancelled`, with what had arrived, and its
   * usage, as `error.partial`
   */
  get response(): Response {
    while (!this.#isOver) {
      this.#taken = this.#chunks.length
      this.#receive()
    }
    if (this.#error) throw this.#error
    return this.#response as Response
  }

  /** The visible text alone, piece by piece. It is the same single reading as the stream itself. */
  get text(): Iterable<string> {
    return textOf(this)
  }

  /** @throws ConvokeError the one that ended the stream, once */
  /** Blocks until the next chunk is there. @throws ConvokeError the error that ended the stream, once */
  next(): IteratorResult<StreamChunk, undefined> {
    while (this.#taken === this.#chunks.length) {
      if (!this.#isOver) this.#receive()
      else if (!this.#error || this.#isTold) return { done: true, value: undefined }
      else {
        this.#isTold = true
        throw this.#error
      }
    }
    return { done: false, value: this.#chunks[this.#taken++] as StreamChunk }
  }

  /** Ends the request, as leaving a `for` loop does. */
  return(): IteratorResult<StreamChunk, undefined> {
    this.cancel('the loop was left')
    this.#taken = this.#chunks.length
    this.#isTold = true
    return { done: true, value: undefined }
  }

  /** Ends the request; the socket is closed when this returns. Once ended, it does nothing. */
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

  /** Blocks until there is more. */
  #receive(): void {
    let news: BlockingNews
    try {
      news = this.#call.wait()
    } catch (error) {
      return this.#fail(this.#partialResponse.attachTo(error as ConvokeError))
    }
    const { chunks, end } = news
    if (this.#taken > 0) this.#chunks = this.#chunks.slice(this.#taken)
    this.#taken = 0
    for (const chunk of chunks) {
      this.#partialResponse.add(chunk)
      this.#chunks.push(revived(chunk))
    }
    if (end) this.#end(end)
    else this.#call.taken(chunks.length)
  }

  #end(end: Answer<unknown>): void {
    try {
      this.#response = this.#read(end)
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

function revived(chunk: StreamChunk): StreamChunk {
  return chunk.type === 'reset'
    ? { ...chunk, error: deserializeError(chunk.error as unknown as SerializedError) }
    : chunk
}

function* textOf(stream: Iterable<StreamChunk>): Generator<string, void, void> {
  for (const { content } of stream) if (content) yield content
}
