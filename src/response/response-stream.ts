/** The reader's side of a streaming call, with a bounded buffer between the reader and the vendor. */
import { ConvokeError } from '../errors.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'

/** The receiver of a call's chunks. */
export interface StreamSink {
  /** Takes a chunk. A promise means that the buffer is full; the call goes on when the promise settles. */
  push(chunk: StreamChunk): Promise<void> | undefined
}

/** The call behind a stream. */
export interface StreamSource<Response extends GenerateResponse = GenerateResponse> {
  /** Runs the call. Its chunks go to the sink, and the promise gives the response or the error at the end. */
  run(sink: StreamSink): Promise<Response>
  /** Ends the call with the error `cancelled`. */
  cancel(reason?: unknown): void
  /** The response of the chunks that have arrived so far. */
  partial(): GenerateResponse
}

/**
 * A reply as a stream of chunks. The request is sent at once. A stream is iterated once, with `for await`; leaving the
 * loop cancels the request and closes the socket. The stream ends by a `finish` chunk or by throwing one ConvokeError,
 * never both. It is not a thenable, so `await llm.agenerate(prompt, { stream: true })` gives the stream itself.
 *
 * When the reader is slow, at most `bufferSize` chunks wait for it, and then the socket is not read. When only
 * `response` is used and the stream is not iterated, the stream is read to its end.
 */
export class ResponseStream<Response extends GenerateResponse = GenerateResponse>
  implements AsyncIterable<StreamChunk>, AsyncDisposable
{
  readonly #source: StreamSource<Response>
  readonly #bufferSize: number
  readonly #response: Promise<Response>
  #chunks: StreamChunk[] = []
  /** The number of chunks in `#chunks` that were read already. */
  #taken = 0
  /** The number of characters that wait for the reader. */
  #waitingLength = 0
  /** The reads that wait for a chunk. */
  #readers: { resolve: (result: IteratorResult<StreamChunk>) => void; reject: (error: unknown) => void }[] =
    []
  /** Lets the call go on after the buffer was full. */
  #resume: (() => void) | undefined
  /** Whether the stream is iterated. */
  #isRead = false
  /** Whether `response` was used. */
  #isCollected = false
  #isEnded = false
  /** The error that the next read throws; it is thrown once. */
  #error: ConvokeError | undefined

  /** @internal */
  constructor(source: StreamSource<Response>, bufferSize: number) {
    this.#source = source
    this.#bufferSize = bufferSize
    this.#response = source.run({ push: (chunk) => this.#push(chunk) })
    this.#response.then(
      () => this.#end(undefined),
      (error: ConvokeError) => this.#end(error),
    )
  }

  /**
   * The whole reply, once the stream has ended. Rejects with the error that ended the stream; a cancelled stream rejects
   * with `cancelled`. The chunks that had arrived, and their usage, are in `error.partial`. Await it after the loop and
   * not inside, because the stream ends only when the loop has read it.
   */
  get response(): Promise<Response> {
    this.#isCollected = true
    if (!this.#isRead) this.#release()
    return this.#response
  }

  /** Only the visible text, piece by piece. Iterate either the text or the stream, because a stream is read once. */
  get text(): AsyncIterable<string> {
    return textOf(this)
  }

  /** The response of the chunks that have arrived so far. Its `finishReason` is `other` until the stream has ended. */
  get partial(): GenerateResponse {
    return this.#source.partial()
  }

  /**
   * Ends the request: the socket closes, and the reader and `response` get the error `cancelled`. After the end of the
   * stream it does nothing.
   */
  cancel(reason?: unknown): void {
    if (!this.#isEnded) this.#source.cancel(reason)
  }

  /** @throws ConvokeError `invalid_request` when the stream is read a second time */
  [Symbol.asyncIterator](): AsyncIterator<StreamChunk, undefined> {
    if (this.#isRead) {
      throw new ConvokeError(
        'invalid_request',
        'This stream has been read already. Read it once, or take the whole reply from stream.response.',
      )
    }
    this.#isRead = true
    return {
      next: () => this.#next() as Promise<IteratorResult<StreamChunk, undefined>>,
      return: async () => {
        this.#chunks = []
        this.#taken = 0
        this.#waitingLength = 0
        this.#release()
        this.cancel('the loop was left')
        // The code after the loop goes on only when the slot is free and the socket is closing.
        await this.#response.catch(() => {})
        return { done: true, value: undefined }
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel('the stream was disposed')
    await this.#response.catch(() => {})
  }

  #push(chunk: StreamChunk): Promise<void> | undefined {
    const reader = this.#readers.shift()
    if (reader) {
      reader.resolve({ done: false, value: chunk })
      return undefined
    }
    this.#chunks.push(chunk)
    this.#waitingLength += lengthOf(chunk)
    const mayWait = this.#isRead || !this.#isCollected
    const isFull = this.#waiting >= this.#bufferSize || this.#waitingLength >= maxWaitingLength
    if (!mayWait || !isFull) return undefined
    return new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  #next(): Promise<IteratorResult<StreamChunk>> {
    const chunk = this.#chunks[this.#taken]
    if (chunk) {
      this.#taken++
      this.#waitingLength -= lengthOf(chunk)
      if (this.#taken > 1_024) {
        this.#chunks = this.#chunks.slice(this.#taken)
        this.#taken = 0
      }
      // The buffer must be half empty before the socket is read again, so that a slow reader resumes the call once for
      // many chunks.
      const hasRoom = this.#waiting <= this.#bufferSize / 2 && this.#waitingLength <= maxWaitingLength / 2
      if (this.#resume && hasRoom) this.#release()
      return Promise.resolve({ done: false, value: chunk })
    }
    if (!this.#isEnded) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }))
    const error = this.#error
    this.#error = undefined
    return error ? Promise.reject(error) : Promise.resolve({ done: true, value: undefined })
  }

  get #waiting(): number {
    return this.#chunks.length - this.#taken
  }

  #release(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  #end(error: ConvokeError | undefined): void {
    this.#isEnded = true
    this.#error = error
    // The call must not wait for the reader any longer.
    this.#release()
    for (const reader of this.#readers.splice(0)) {
      const failure = this.#error
      this.#error = undefined
      if (failure) reader.reject(failure)
      else reader.resolve({ done: true, value: undefined })
    }
  }
}

/** The most characters that may wait, whatever `bufferSize` is, because a few chunks can be large. */
const maxWaitingLength = 4 * 1_024 * 1_024

function lengthOf(chunk: StreamChunk): number {
  switch (chunk.type) {
    case 'reasoning':
      return chunk.reasoning.length
    case 'tool-call-delta':
      return chunk.argumentsDelta.length
    default:
      return chunk.content.length
  }
}

async function* textOf(stream: AsyncIterable<StreamChunk>): AsyncGenerator<string, void, void> {
  for await (const { content } of stream) if (content) yield content
}
