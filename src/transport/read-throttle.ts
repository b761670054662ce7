/**
 * How often the sockets of streams are read. A piece of text costs its way from the kernel to the reader whether it
 * comes alone or with the next ones, and a thousand streams at 20 ms a piece want 50,000 such ways a second, more than a
 * core can do. The process therefore shares out a number of reads: few streams are read as their bytes come; of many,
 * each rests after a read and gets at once what came meanwhile. Text that comes slower than that is not held up at all.
 */
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'

/** Reads of all streams together; a third of what a core can do. */
const readsPerSecond = 10_000
/** Beyond this, people see that text comes in jumps. */
const longestRestMs = 100
/** A read that brought so much has more behind it, and costs little for each of its bytes. */
const largeReadBytes = 4_096
/** The first reads of a stream cause no rest: head, opening and first piece of a reply may come one by one. */
const freeReads = 4

let streams = 0

/** Milliseconds until the socket of a stream is read again; few streams need no rest. Steps of 10 share their timers. */
function restMs(): number {
  return Math.min(longestRestMs, Math.floor((streams / readsPerSecond) * 100) * 10)
}

/** The throttles whose sockets were read in this turn of the event loop and rest from its end on. */
let tired: ReadThrottle[] = []

/** Node's HTTP client resumes a socket right behind each read, so that a pause holds only from the end of the turn on. */
function restAll(): void {
  const throttles = tired
  tired = []
  for (const throttle of throttles) throttle.rest()
}

/** Lets one socket rest between the reads of its stream. */
export class ReadThrottle {
  readonly #socket: Socket
  #response: Readable | undefined
  #reads = 0
  #timer: NodeJS.Timeout | undefined
  #isTired = false
  #holdsProcess = true

  constructor(socket: Socket) {
    this.#socket = socket
    socket.once('close', () => this.end())
  }

  /** A stream's response begins. */
  begin(response: Readable): void {
    if (this.#response) return
    streams++
    this.#response = response
    this.#reads = 0
    this.#socket.on('data', this.#onRead)
  }

  /** The stream is over: what comes next is read at once. */
  end(): void {
    if (!this.#response) return
    streams--
    this.#response = undefined
    this.#socket.off('data', this.#onRead)
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#socket.resume()
  }

  /** A socket that rests is not active for Node, so that its timer decides whether the process lives. */
  ref(): void {
    this.#holdsProcess = true
    this.#timer?.ref()
  }

  unref(): void {
    this.#holdsProcess = false
    this.#timer?.unref()
  }

  /** Stops reading until the rest is over. */
  rest(): void {
    this.#isTired = false
    if (!this.#response) return
    this.#socket.pause()
    this.#timer ??= setTimeout(() => this.#wakeUp(), restMs())
    if (!this.#holdsProcess) this.#timer.unref()
  }

  readonly #onRead = (bytes: Buffer): void => {
    if (++this.#reads <= freeReads || bytes.length >= largeReadBytes || this.#isTired || restMs() === 0)
      return
    this.#isTired = true
    if (tired.push(this) === 1) setImmediate(restAll)
  }

  #wakeUp(): void {
    this.#timer = undefined
    const { readableLength, readableHighWaterMark } = this.#response ?? this.#socket
    // A reader that is behind makes Node stop the socket, and start it again when it has caught up.
    if (readableLength < readableHighWaterMark) this.#socket.resume()
  }
}
