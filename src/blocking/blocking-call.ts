/**
 * One call that runs in the blocking thread while this thread waits for it.
 *
 * Room `blocking`: the side of generate() that waits. Imported by `blocking/thread`, `consensus`, `fan-out`, `index`,
 * `llm`, `session`, `workers`.
 */
import { openChannel } from './channel.ts'
import type { Channel } from './channel.ts'
import type { CallUpdate, SerializedCall } from './protocol.ts'
import type { SchemaCheck } from './schema-check.ts'

export interface BlockingCallOptions {
  /** The limit of the whole call, in milliseconds. */
  totalMs: number
  schemaCheck?: SchemaCheck | undefined
  /**
   * The LLMs and the session of the call, which the call keeps alive: garbage collection would close their replicas, and
   * this call with them.
   */
  keepAlive: object
}

let lastId = 0

export class BlockingCall {
  readonly #channel: Channel
  readonly #id = ++lastId
  readonly #totalMs: number
  readonly #startedAtMs = performance.now()
  readonly keepAlive: object

  /**
   * Begins the call at once.
   * @throws ConvokeError `blocking_unavailable` for a call that cannot cross, or a process that may start no threads
   */
  constructor(call: SerializedCall, { totalMs, schemaCheck, keepAlive }: BlockingCallOptions) {
    this.#channel = openChannel()
    this.#totalMs = totalMs
    this.keepAlive = keepAlive
    this.#channel.begin({ kind: 'call', id: this.#id, totalMs, ...call }, schemaCheck)
  }

  /**
   * Blocks until there is an update.
   * @throws ConvokeError `timeout` when the thread hangs, or lives and did not end the call; `worker_lost` when it died
   */
  wait(): CallUpdate {
    const update = this.#channel.wait(this.#id, this.#totalMs, this.#startedAtMs)
    if (update.result) this.#channel.forget(this.#id)
    return update
  }

  /** Cancels the call. Nobody will wait for it any more. */
  abandon(): void {
    this.#channel.abandon(this.#id)
  }

  /** Tells the thread that so many chunks were read, and that it may send as many more. */
  noteRead(count: number): void {
    this.#channel.send({ kind: 'chunks-read', id: this.#id, count })
  }

  cancel(reason: string): void {
    this.#channel.send({ kind: 'cancel', id: this.#id, reason })
  }
}
