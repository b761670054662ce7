/** Writes a reply to the store while it streams, behind the chunks and never in their way. */
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import { pieceOf, MessageParts } from '../response/message-parts.ts'
import type { Delta, Store } from '../store/store.ts'
import type { StreamChunk } from '../types.ts'

/** Text waits at most this long before it is on its way to the disk; the commit takes the rest of 250 ms. */
const flushMs = 200
/** A reply without text says so often that its writer lives. */
const beatMs = 5_000

export class Recorder {
  readonly #store: Store
  readonly #replyId: string
  /** Who answers now. */
  readonly #provider: () => string
  #parts = new MessageParts()
  /** What is on disk already is void. */
  #isAnew = false
  #number = 0
  /** Could not be written, or not for sure: it goes before what follows, under its own number, so that it lands once. */
  #failed: Delta | undefined
  /** Until the next try: longer each time that the store fails, and shorter than others wait for a sign of life. */
  #delayMs = flushMs
  #timer: NodeJS.Timeout | undefined
  readonly #beat: NodeJS.Timeout
  #writing: Promise<void> | undefined
  /** Over, or the reply is gone from the store: it goes on without it. */
  #isEnded = false

  constructor(store: Store, replyId: string, provider: () => string) {
    this.#store = store
    this.#replyId = replyId
    this.#provider = provider
    this.#beat = setInterval(() => this.#write(), beatMs)
    this.#beat.unref()
  }

  add(chunk: StreamChunk): void {
    const piece = pieceOf(chunk, this.#provider())
    if (piece) this.#parts.add(piece)
    else if (chunk.type === 'reset') {
      this.#parts = new MessageParts()
      this.#failed = undefined
      this.#isAnew = true
    } else return
    this.#schedule()
  }

  /** Nothing more will come; settles when nothing is being written any more. */
  async end(): Promise<void> {
    this.#stop()
    await this.#writing
  }

  #stop(): void {
    this.#isEnded = true
    clearTimeout(this.#timer)
    clearInterval(this.#beat)
    this.#parts = new MessageParts()
    this.#failed = undefined
  }

  #schedule(): void {
    if (!this.#isEnded) this.#timer ??= setTimeout(() => this.#write(), this.#delayMs).unref()
  }

  /** One delta at a time: what comes meanwhile goes with the next. */
  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isEnded) return
    if (this.#writing) {
      this.#schedule()
      return
    }
    this.#writing = this.#append(this.#failed ?? this.#next()).finally(() => {
      this.#writing = undefined
    })
  }

  #next(): Delta {
    const isAnew = this.#isAnew
    this.#isAnew = false
    return { number: this.#number++, parts: this.#parts.take(), ...(isAnew ? { isAnew } : {}) }
  }

  async #append(delta: Delta): Promise<void> {
    try {
      await this.#store.appendDelta(this.#replyId, delta)
      this.#delayMs = flushMs
      if (this.#failed !== delta) return
      this.#failed = undefined
      // What came while the store failed waits for no further chunk.
      this.#schedule()
    } catch (error) {
      if (this.#isEnded) return
      if (isConvokeError(error) && error.code === 'session_not_found') {
        this.#stop()
        return
      }
      // A reply that began anew meanwhile has no use for it.
      if (!this.#isAnew) this.#failed = delta
      this.#delayMs = Math.min(this.#delayMs * 2, beatMs)
      this.#schedule()
    }
  }
}

/** An error of a store, also of one that is not convoke's own. */
export function asStoreError(error: unknown, name: string): ConvokeError {
  if (isConvokeError(error)) return error
  const message = messageOf(error)
  return new ConvokeError('store_failed', `The store ${name} failed: ${message}`, { cause: error })
}
