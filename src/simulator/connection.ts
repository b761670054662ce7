/** The simulator's end of one response: writes that respect back-pressure, and waits that end on close. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** How long a client may read on before a reset: it throws away what was received and not yet read. */
const BEFORE_RESET_MS = 10

/** One response on its way to a client, which may hang up at any moment. */
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
    // A client that hangs up in the middle of a write is no error of the simulator's.
    response.on('error', () => undefined)
  }

  /** Writes, and gives a promise to wait for where the client reads more slowly than that. */
  write(text: string | Uint8Array): Promise<void> | undefined {
    if (this.isClosed || this.response.write(text)) return undefined
    return this.#wait(true, () => undefined)
  }

  /**
   * The same for text of a body in chunks, framed here as one string: the response itself makes four writes of each
   * chunk. What one turn writes goes out together.
   */
  writeChunk(text: string): Promise<void> | undefined {
    const { socket } = this.response
    if (this.isClosed || text === '') return undefined
    // Not chunked for a client of HTTP/1.0, or under a fault's own headers.
    if (socket === null || !this.response.chunkedEncoding) return this.write(text)
    if (!this.#isCorked) this.#cork(socket)
    if (socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)) return undefined
    return this.#wait(false, (go) => socket.once('drain', go))
  }

  /** Waits, or less long where the client hangs up. */
  async pause(milliseconds: number): Promise<void> {
    if (milliseconds <= 0 || this.isClosed) return
    let timer: NodeJS.Timeout | undefined
    await this.#wait(false, (go) => (timer = setTimeout(go, milliseconds)))
    clearTimeout(timer)
  }

  /** Resets the socket, so that the client sees ECONNRESET, and not a clean end. */
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
