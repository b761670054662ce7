/** ResponseStream: the reader's side of a streaming call, with a bounded buffer between it and the vendor. */
import { ConvokeError } from '../errors.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'

/** Where a call delivers its chunks. */
export interface StreamSink {
  /** Takes a chunk. A promise means that the buffer is full: go on when it settles. */
  push(chunk: StreamChunk): Promise<void> | undefined
}

/** What drives a stream: the call behind it, and the response that it ends with. */
export interface StreamSource<Response extends GenerateResponse = GenerateResponse> {
  run(sink: StreamSink): Promise<Response>
  /** Ends the call with `cancelled`. */
  cancel(reason?: unknown): void
  /** What has arrived so far. */
  partial(): GenerateResponse
}

/**
 * A reply as it comes. The request is sent at once. Iterate it once, with `for await`; leaving the loop cancels the
 * request and closes the socket. It ends by a `finish` chunk or by throwing one ConvokeError, never both. It is not a
 * thenable, so `await llm.agenerate(prompt, { stream: true })` gives the stream itself.
 *
 * While a reader lets chunks wait, at most `bufferSize` of them are held, and then the socket is not read. When only
 * `response` was asked for and nobody reads, the stream is read to its end.
 */
export class ResponseStream<Response extends GenerateResponse = GenerateResponse>
  implements AsyncIterable<StreamChunk>, AsyncDisposable
{
  readonly #source: StreamSource<Response>
  readonly #bufferSize: number
  readonly #response: Promise<Response>
  #chunks: StreamChunk[] = []
  /** Chunks of `#chunks` that were read already. */
  #taken = 0
  /** Characters that wait for the reader. */
  #waitingLength = 0
  /** Reads that wait for a chunk. */
  #readers: { resolve: (result: IteratorResult<StreamChunk>) => void; reject: (error: unknown) => void }[] =
    []
  #resume: (() => void) | undefined
  #isRead = false
  #isCollected = false
  #isEnded = false
  #error: ConvokeError | undefined

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
   * The whole reply, at the end. Rejects with the error that ended the stream; a cancelled one too (`cancelled`), with
   * what had arrived, and its usage, as `error.partial`. Await it behind the loop, not inside: there the loop is the
   * reader that the end waits for.
   */
  get response(): Promise<Response> {
    this.#isCollected = true
    if (!this.#isRead) this.#release()
    return this.#response
  }

  /** The visible text alone, piece by piece. It is the same single reading as the stream itself. */
  get text(): AsyncIterable<string> {
    return textOf(this)
  }

  /** What has arrived so far; its `finishReason` is `other` until the stream has ended. */
  get partial(): GenerateResponse {
    return this.#source.partial()
  }

  /** Ends the request: the socket closes, the reader and `response` get `cancelled`. Once ended, it does nothing. */
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
        // The slot is free, and the socket told to close, when the code behind the loop goes on.
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
      // Half empty before the socket is read again, so that a slow reader wakes it once for many chunks.
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
    // Who waits for the reader waits no longer.
    this.#release()
    for (const reader of this.#readers.splice(0)) {
      const failure = this.#error
      this.#error = undefined
      if (failure) reader.reject(failure)
      else reader.resolve({ done: true, value: undefined })
    }
  }
}

/** Few chunks may be large: beyond so many characters in all, they wait, whatever `bufferSize` is. */
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
