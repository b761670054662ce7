/**
 * How often the sockets of streams are read. A piece of text costs its steps from the kernel to the reader whether it
 * comes alone or with the next ones, and a thousand streams at 20 ms a piece want 50,000 such ways a second, more than a
 * core has. So a process shares out a number of reads: few streams are read as their bytes come, and of many each waits
 * its turn, and gets what came meanwhile at once. Text that comes slower than that is not held up at all.
 */
import type { Socket } from 'node:net'

/** Of all streams together; a third of what a core can do. */
const readsPerSecond = 10_000
/** Beyond this, people see that text comes in jumps. */
const longestRestMs = 100
/** A read that brought so much has more behind it, and costs little for each of its bytes. */
const largeReadBytes = 4_096
/** Head, opening and first piece of a reply may come one by one, and are waited for. */
const freeReads = 4

let streams = 0

/** Milliseconds until the socket of a stream is read again; few streams need no rest. Steps of 10 share their timers. */
function restMs(): number {
  return Math.min(longestRestMs, Math.floor((streams / readsPerSecond) * 100) * 10)
}

/** Watches over one socket, whose `highWaterMark` must be 1: then it asks for each read by `_read`, during the last. */
export class ReadThrottle {
  readonly #socket: Socket
  readonly #readNow: (size: number) => void
  #isStream = false
  #reads = 0
  #rest: NodeJS.Timeout | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    this.#readNow = socket._read.bind(socket)
    socket._read = () => this.#read()
    socket.once('close', () => this.end())
  }

  /** A stream's response begins. */
  begin(): void {
    if (this.#isStream) return
    streams++
    this.#isStream = true
    this.#reads = 0
  }

  /** It is over: what comes next is read at once. */
  end(): void {
    if (!this.#isStream) return
    streams--
    this.#isStream = false
    if (this.#rest) this.#wakeUp()
  }

  #read(): void {
    this.#reads++
    const isLarge = this.#socket.readableLength >= largeReadBytes
    const rest = !this.#isStream || isLarge || this.#reads <= freeReads ? 0 : restMs()
    if (rest === 0) this.#readNow(0)
    else this.#rest ??= setTimeout(() => this.#wakeUp(), rest)
  }

  #wakeUp(): void {
    clearTimeout(this.#rest)
    this.#rest = undefined
    if (!this.#socket.destroyed) this.#readNow(0)
  }
}
