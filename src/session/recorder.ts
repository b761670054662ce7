/** Writes a reply to the store while it streams. The stream never waits for the store. */
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import { pieceOf, MessageParts } from '../response/message-parts.ts'
import type { Delta, Store } from '../store/store.ts'
import type { StreamChunk } from '../types.ts'

/** Text is sent to the store at most this long after it came. The commit has the rest of the promised 250 ms. */
const flushMs = 200
/** How often the writer of a reply shows that it is alive, where no text does. */
const beatMs = 5_000

/**
 * Records one reply. A write that fails is tried again while the stream goes on; the reply's end is written by the turn.
 */
export class Recorder {
  readonly #store: Store
  readonly #replyId: string
  /** The provider that answers now: a fallback may change it. */
  readonly #provider: () => string
  #parts = new MessageParts()
  /** The reply began anew, so the deltas written so far are void. */
  #isAnew = false
  #number = 0
  /** A delta whose write failed, perhaps after its commit. It is sent again under its own number, so that it lands once. */
  #failed: Delta | undefined
  /** Time until the next write. It doubles when the store fails, up to one beat: others wait longer for a sign of life. */
  #delayMs = flushMs
  #timer: NodeJS.Timeout | undefined
  readonly #beat: NodeJS.Timeout
  #writing: Promise<void> | undefined
  /** The reply is over, or was deleted from the store: nothing more is written. */
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

  /** Stops the recording. Settles when no write is in flight. */
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

  /** One delta is in flight at a time. Text that comes meanwhile goes with the next. */
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
      // Text that came while the store failed is written now, and not with the next chunk.
      this.#schedule()
    } catch (error) {
      if (this.#isEnded) return
      if (isConvokeError(error) && error.code === 'session_not_found') {
        this.#stop()
        return
      }
      // A reply that began anew meanwhile no longer needs this delta.
      if (!this.#isAnew) this.#failed = delta
      this.#delayMs = Math.min(this.#delayMs * 2, beatMs)
      this.#schedule()
    }
  }
}

/** A store's error as a ConvokeError. Stores that users write may throw others. */
export function asStoreError(error: unknown, name: string): ConvokeError {
  if (isConvokeError(error)) return error
  const message = messageOf(error)
  return new ConvokeError('store_failed', `The store ${name} failed: ${message}`, { cause: error })
}
