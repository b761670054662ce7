/** Writes a reply to the store while it streams, behind the chunks and never in their way. */
import { ConvokeError, isConvokeError } from '../errors.ts'
import { pieceOf, ReplyParts } from '../reply-parts.ts'
import type { Store } from '../store/store.ts'
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
  #parts = new ReplyParts()
  /** What is on disk already is void. */
  #isAnew = false
  #number = 0
  #timer: NodeJS.Timeout | undefined
  readonly #beat: NodeJS.Timeout
  #writing: Promise<void> | undefined
  /** Over, or the store has failed: the reply goes on without it. */
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
      this.#parts = new ReplyParts()
      this.#isAnew = true
    } else return
    this.#timer ??= setTimeout(() => this.#write(), flushMs).unref()
  }

  /** Nothing more will come; settles when nothing is being written any more. */
  async end(): Promise<void> {
    this.#isEnded = true
    clearTimeout(this.#timer)
    clearInterval(this.#beat)
    this.#parts = new ReplyParts()
    await this.#writing
  }

  /** One delta at a time: what comes meanwhile goes with the next. */
  #write(): void {
    this.#timer = undefined
    if (this.#isEnded) return
    if (this.#writing) {
      this.#timer = setTimeout(() => this.#write(), flushMs).unref()
      return
    }
    const parts = this.#parts.take()
    const isAnew = this.#isAnew
    this.#isAnew = false
    this.#writing = this.#store
      .appendDelta(this.#replyId, { number: this.#number++, parts, ...(isAnew ? { isAnew } : {}) })
      .catch(() => {
        this.#isEnded = true
      })
      .finally(() => {
        this.#writing = undefined
      })
  }
}

/** An error of a store, also of one that is not convoke's own. */
export function asStoreError(error: unknown, name: string): ConvokeError {
  if (isConvokeError(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new ConvokeError('store_failed', `The store ${name} failed: ${message}`, { cause: error })
}
