/**
 * The connection of one response: writes that respect back-pressure, and waits that end when the client disconnects.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Time for the client to read before a reset, because a reset drops bytes that were received and not yet read. */
const BEFORE_RESET_MS = 10

export class Connection {
  readonly response: ServerResponse
  isClosed = false
  #isCorked = false
  #waiting: { forDrain: boolean; go: () => void } | undefined

  constructor(response: ServerResponse) {
    this.response = response
    response.on('close', () => {
      this.isClosed = true
      this.#waiting?.go()
    })
    response.on('drain', () => {
      if (this.#waiting?.forDrain === true) this.#waiting.go()
    })
    // The client may disconnect in the middle of a write. That is no error of the simulator.
    response.on('error', () => undefined)
  }

  /** Writes bytes of a body. Returns a promise to wait for when the client reads too slowly, else undefined. */
  write(text: string | Uint8Array): Promise<void> | undefined {
    if (this.isClosed || this.response.write(text)) return undefined
    return this.#wait(true, () => undefined)
  }

  /**
   * Like `write`, for a body with chunked encoding. The chunk is framed here, in one string, because Node's response
   * makes four writes of it. All chunks of one iteration of the event loop are sent together.
   */
  writeChunk(text: string): Promise<void> | undefined {
    const { socket } = this.response
    if (this.isClosed || text === '') return undefined
    // The encoding is not chunked for an HTTP/1.0 client, or when a fault has its own headers.
    if (socket === null || !this.response.chunkedEncoding) return this.write(text)
    if (!this.#isCorked) this.#cork(socket)
    if (socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)) return undefined
    return this.#wait(false, (go) => socket.once('drain', go))
  }

  /** Waits for some milliseconds, or until the client disconnects. */
  async pause(milliseconds: number): Promise<void> {
    if (milliseconds <= 0 || this.isClosed) return
    let timer: NodeJS.Timeout | undefined
    await this.#wait(false, (go) => (timer = setTimeout(go, milliseconds)))
    clearTimeout(timer)
  }

  /** Resets the socket, so that the client sees ECONNRESET instead of a clean end. */
  async reset(): Promise<void> {
    const { socket } = this.response
    if (this.response.headersSent) await this.pause(BEFORE_RESET_MS)
    socket?.resetAndDestroy()
  }

  #cork(socket: Socket): void {
    this.#isCorked = true
    socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      socket.uncork()
    })
  }

  #wait(forDrain: boolean, start: (go: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        this.#waiting = undefined
        resolve()
      }
      this.#waiting = { forDrain, go }
      start(go)
    })
  }
}
