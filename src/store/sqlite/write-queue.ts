/** Group commit: what is written while a commit is in flight goes to the disk together with the next one. */
import { ConvokeError } from '../../errors.ts'
import { deserializeError } from '../../threads/serialize-error.ts'
import type { Answer } from '../../threads/answer.ts'
import type { StoreWrite, NewMessageRow, NewSessionRow, WriteValues } from './protocol.ts'

/** Of one commit, so that reads get their turn between two, and this thread takes its answers in a few milliseconds. */
const maxBatchWrites = 500
const maxBatchCharacters = 4 * 2 ** 20
/** Of all that waits. */
const maxWaitingWrites = 100_000
const maxWaitingCharacters = 128 * 2 ** 20

type Written = Answer<WriteValues[keyof WriteValues]>

interface Waiting {
  write: StoreWrite
  size: number
  resolve: (value: WriteValues[keyof WriteValues]) => void
  reject: (error: unknown) => void
}

/**
 * Sends writes in order, one batch at a time. A write's promise settles when its commit is on disk: who waits for it
 * goes at the pace of the disk. Who does not is refused past 100,000 writes or 128 Mi characters.
 */
export class WriteQueue {
  readonly #send: (writes: StoreWrite[]) => Promise<Written[]>
  #waiting: Waiting[] = []
  #size = 0
  #running: Promise<void> | undefined

  constructor(send: (writes: StoreWrite[]) => Promise<Written[]>) {
    this.#send = send
  }

  /** @throws ConvokeError `store_failed` when too much waits already */
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
      this.#waiting.push({ write, size, resolve: resolve as Waiting['resolve'], reject })
      this.#size += size
      this.#running ??= this.#run()
    })
  }

  /** Settles when nothing is in flight. */
  async drained(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    // What is written in the same turn of the event loop makes one batch from the start.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      await this.#settle(this.#take())
    }
    this.#running = undefined
  }

  async #settle(batch: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#send(batch.map(({ write }) => write))
      for (const [at, { resolve, reject }] of batch.entries()) {
        const answer = answers[at] as Written
        if (answer.isOk) resolve(answer.value)
        else reject(deserializeError(answer.error))
      }
    } catch (error) {
      // One of them cannot cross to the thread: nothing was sent, and the others have no part in it.
      const isUncloned = error instanceof Error && error.cause instanceof DOMException
      if (isUncloned && batch.length > 1) for (const one of batch) await this.#settle([one])
      else for (const { reject } of batch) reject(error)
    }
  }

  #take(): Waiting[] {
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

/** Characters, about. */
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
