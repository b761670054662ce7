/** Sends the chunks of one stream to the thread that waits for them, at the pace of its reader. */
import { serializeError } from '../../threads/serialize-error.ts'
import type { ResponseStream } from '../../response/response-stream.ts'
import type { StreamChunk } from '../../types.ts'

/** Most chunks that wait for the reader. The stream is not read on until some of them are taken. */
const maxUnread = 256

export class StreamFlow {
  readonly #send: (chunks: StreamChunk[]) => void
  readonly #isReaderElsewhere: (flow: StreamFlow) => boolean
  #unsent: StreamChunk[] = []
  /** Chunks that the reader has not taken, sent or not. */
  #unreadCount = 0
  #stream: ResponseStream | undefined
  #cancelReason: string | undefined
  #resume: (() => void) | undefined

  /** @param isReaderElsewhere whether the other thread waits for another call, so that this stream must not wait for it */
  constructor(send: (chunks: StreamChunk[]) => void, isReaderElsewhere: (flow: StreamFlow) => boolean) {
    this.#send = send
    this.#isReaderElsewhere = isReaderElsewhere
  }

  /** Whether the reader has taken all chunks that there are. */
  get isRead(): boolean {
    return this.#unreadCount === 0
  }

  /** Sends all chunks but the last ones, which go with the result. Resolves to the stream's response. */
  async read(stream: ResponseStream): Promise<unknown> {
    this.#stream = stream
    if (this.#cancelReason !== undefined) stream.cancel(this.#cancelReason)
    for await (const chunk of stream) {
      this.#add(chunk)
      while (this.#mustWaitForReader) {
        await new Promise<void>((resolve) => (this.#resume = resolve))
      }
    }
    return stream.response
  }

  /** Takes the chunks that were not sent yet. */
  takeUnsent(): StreamChunk[] {
    return this.#unsent.splice(0)
  }

  /** Notes that the reader has taken so many chunks. */
  noteRead(count: number): void {
    this.#unreadCount -= count
  }

  cancel(reason: string): void {
    this.#cancelReason = reason
    this.#stream?.cancel(reason)
    this.resume()
  }

  /** Looks again whether the stream must wait for its reader. */
  resume(): void {
    this.#resume?.()
  }

  get #mustWaitForReader(): boolean {
    return (
      this.#unreadCount >= maxUnread && this.#cancelReason === undefined && !this.#isReaderElsewhere(this)
    )
  }

  #add(chunk: StreamChunk): void {
    const isFirst = this.#unsent.length === 0
    this.#unsent.push(serializeChunk(chunk))
    this.#unreadCount++
    // The chunks of one read of the socket are sent together.
    if (isFirst && chunk.type !== 'finish') setImmediate(() => this.#sendUnsent())
  }

  #sendUnsent(): void {
    const isAtEnd = this.#unsent.at(-1)?.type === 'finish'
    if (this.#unsent.length > 0 && !isAtEnd) this.#send(this.takeUnsent())
  }
}

/** A `reset` chunk holds an error, which would lose its class between threads. */
function serializeChunk(chunk: StreamChunk): StreamChunk {
  return chunk.type === 'reset' ? { ...chunk, error: serializeError(chunk.error) as unknown as Error } : chunk
}
