/** Group commit: writes that come while a commit is in flight are committed together by the next one. */
import { ConvokeError } from '../../errors.ts'
import { deserializeError } from '../../threads/serialize-error.ts'
import type { Answer } from '../../threads/answer.ts'
import type { StoreWrite, NewMessageRow, NewSessionRow, WriteValues } from './protocol.ts'

/** Limits of one commit, so that reads get their turn between two, and this thread handles the answers in a few ms. */
const maxBatchWrites = 500
const maxBatchCharacters = 4 * 2 ** 20
/** Limits of all writes that wait. */
const maxWaitingWrites = 100_000
const maxWaitingCharacters = 128 * 2 ** 20

type WriteAnswer = Answer<WriteValues[keyof WriteValues]>

interface WaitingWrite {
  write: StoreWrite
  /** Characters, about. */
  size: number
  resolve: (value: WriteValues[keyof WriteValues]) => void
  reject: (error: unknown) => void
}

/**
 * Sends writes in order, one batch at a time. A write's promise settles when its commit is on disk, so a caller that awaits
 * its writes goes at the pace of the disk. A caller that does not is refused past 100,000 writes or 128 Mi characters.
 */
export class WriteQueue {
  readonly #send: (writes: StoreWrite[]) => Promise<WriteAnswer[]>
  #waiting: WaitingWrite[] = []
  #size = 0
  #running: Promise<void> | undefined

  constructor(send: (writes: StoreWrite[]) => Promise<WriteAnswer[]>) {
    this.#send = send
  }

  /** @throws ConvokeError `store_failed` when too many writes wait already */
  write<W extends StoreWrite>(write: W): Promise<WriteValues[W['kind']]> {
    const size = sizeOf(write)
    if (
      this.#waiting.length >= maxWaitingWrites ||
      (this.#waiting.length > 0 && this.#size + size > maxWaitingCharacters)
    ) {
      const message = `${this.#waiting.length} writes wait for the disk already. Await writes before making more.`
      return Promise.reject(new ConvokeError('store_failed', message))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, size, resolve: resolve as WaitingWrite['resolve'], reject })
      this.#size += size
      this.#running ??= this.#run()
    })
  }

  /** Settles when no write waits or is in flight. */
  async drained(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // Writes of the same turn of the event loop make one batch, also when they are the first.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      await this.#settle(this.#take())
    }
    this.#running = undefined
  }

  /** Sends a batch, and settles its promises. */
  async #settle(batch: readonly WaitingWrite[]): Promise<void> {
    try {
      const answers = await this.#send(batch.map(({ write }) => write))
      for (const [at, { resolve, reject }] of batch.entries()) {
        const answer = answers[at] as WriteAnswer
        if (answer.isOk) resolve(answer.value)
        else reject(deserializeError(answer.error))
      }
    } catch (error) {
      // A write that cannot be cloned fails the whole batch before it is sent. One by one, only that write fails.
      const isUncloned = error instanceof Error && error.cause instanceof DOMException
      if (isUncloned && batch.length > 1) for (const one of batch) await this.#settle([one])
      else for (const { reject } of batch) reject(error)
    }
  }

  /** Takes the next batch off the queue. */
  #take(): WaitingWrite[] {
    let count = 0
    let size = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && (count >= maxBatchWrites || size + waiting.size > maxBatchCharacters)) break
      count++
      size += waiting.size
    }
    this.#size -= size
    return this.#waiting.splice(0, count)
  }
}

/** The size of a write: about its characters. */
function sizeOf(write: StoreWrite): number {
  switch (write.kind) {
    case 'append-delta':
      return write.parts.length + 100
    case 'end-turn':
      return write.content.length + write.text.length + 500
    case 'add-messages':
    case 'begin-turn':
      return sizeOfAll(write.messages)
    case 'import-session':
      return write.messages.reduce((sum, { length }) => sum + length, sizeOfSession(write.session))
    case 'compact':
      return write.summary.content.length + write.summary.text.length + 500
    case 'open-session':
      return sizeOfSession(write.session)
    case 'fork-session':
      return sizeOfSession(write.fork)
    case 'update-session':
      return (write.system?.length ?? 0) + (write.metadata?.length ?? 0) + 200
    default:
      return 100
  }
}

function sizeOfAll(messages: readonly NewMessageRow[]): number {
  return messages.reduce((sum, { content, text }) => sum + content.length + text.length + 200, 200)
}

function sizeOfSession({ system, metadata }: NewSessionRow): number {
  return (system?.length ?? 0) + (metadata?.length ?? 0) + 200
}
