/** The chunks of one stream on their way to a thread that waits for them. */
import { serializeError } from '../../threads/serialize-error.ts'
import type { ResponseStream } from '../../response/response-stream.ts'
import type { StreamChunk } from '../../types.ts'

/** Chunks that may wait for their reader. */
const maxUnread = 256

export class StreamFlow {
  readonly #send: (chunks: StreamChunk[]) => void
  /** Whether the waiting thread may be at another call. */
  readonly #isAwaited: (flow: StreamFlow) => boolean
  #unsent: StreamChunk[] = []
  /** Sent or not. */
  #unread = 0
  #stream: ResponseStream | undefined
  #cancelled: string | undefined
  #wake: (() => void) | undefined

  constructor(send: (chunks: StreamChunk[]) => void, isAwaited: (flow: StreamFlow) => boolean) {
    this.#send = send
    this.#isAwaited = isAwaited
  }

  /** Whether the reader has all that there is. */
  get isEmpty(): boolean {
    return this.#unread === 0
  }

  /** Sends all chunks but the last ones, which go with the end, at the pace of the reader. */
  async read(stream: ResponseStream): Promise<unknown> {
    this.#stream = stream
    if (this.#cancelled !== undefined) stream.cancel(this.#cancelled)
    for await (const chunk of stream) {
      this.#add(chunk)
      while (this.#unread >= maxUnread && this.#cancelled === undefined && !this.#isAwaited(this)) {
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    }
    return stream.response
  }

  /** What goes with the end. */
  rest(): StreamChunk[] {
    return this.#unsent.splice(0)
  }

  take(count: number): void {
    this.#unread -= count
  }

  cancel(reason: string): void {
    this.#cancelled = reason
    this.#stream?.cancel(reason)
    this.goOn()
  }

  goOn(): void {
    this.#wake?.()
  }

  #add(chunk: StreamChunk): void {
    const isFirst = this.#unsent.length === 0
    // An error loses its class on the way.
    this.#unsent.push(
      chunk.type === 'reset' ? { ...chunk, error: serializeError(chunk.error) as unknown as Error } : chunk,
    )
    this.#unread++
    // What came in one read of the socket goes together.
    if (isFirst && chunk.type !== 'finish') setImmediate(() => this.#flush())
  }

  #flush(): void {
    const isAtEnd = this.#unsent.at(-1)?.type === 'finish'
    if (this.#unsent.length > 0 && !isAtEnd) this.#send(this.rest())
  }
}
