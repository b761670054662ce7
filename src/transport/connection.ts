/**
 * Kept-alive connections, shared by all LLMs of the process. A request has its connection to itself, so that a cancel
 * closes this socket and no other. Idle connections do not keep the process alive.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { headerOf } from './http-response.ts'
import { openSocket, whenConnected, routeKey } from './open-socket.ts'
import { ReadThrottle } from './read-throttle.ts'
import type { Route } from './open-socket.ts'

/** Idle connections of one route beyond this are closed. */
const maxIdle = 1_024
/** Long enough for a conversation's next turn, and below what most servers grant; a server's own hint rules over it. */
const keepAliveMs = 30_000
/** A connection is given up so long before the time that its server named. */
const keepAliveMarginMs = 1_000
/** The longest hint of a server that is believed. */
const maxKeepAliveMs = 600_000

const idle = new Map<string, Connection[]>()

/** The idle connection of this route that was used last, or a new one. */
export function takeConnection(route: Route, mustBeNew = false): Connection {
  const key = routeKey(route)
  return (mustBeNew ? undefined : idle.get(key)?.pop()) ?? new Connection(route, key)
}

export class Connection {
  readonly route: Route
  readonly #key: string
  #socket: Socket | undefined
  #throttle: ReadThrottle | undefined
  #response: IncomingMessage | undefined
  #bytesBefore = 0
  #isNew = true
  #isDestroyed = false
  #holdsProcess = true
  #idleTimer: NodeJS.Timeout | undefined

  constructor(route: Route, key: string) {
    this.route = route
    this.#key = key
  }

  /** Whether the connection has never served a request before. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** Whether a byte has come since the request was given to the connection, be it half a status line. */
  get hasAnswered(): boolean {
    return (this.#socket?.bytesRead ?? 0) > this.#bytesBefore
  }

  /**
   * The socket for the next request, as `createConnection` of `http.request` gives it: at once, or by the callback for
   * a tunnel. A new socket may still be connecting; `onConnect` is called when it stands.
   */
  open(done: (error: Error | null, socket: Socket) => void, onConnect: () => void): Socket | undefined {
    if (this.#socket) return this.#wake(this.#socket)
    const opening = openSocket(this.route, (socket) => this.#follow(socket))
    const begin = (socket: Socket): Socket => {
      whenConnected(socket, onConnect)
      // A socket without a listener for its errors would end the process by them.
      socket.on('error', () => {}).once('close', () => this.#forget())
      this.#throttle = new ReadThrottle(socket)
      return socket
    }
    if (!(opening instanceof Promise)) return begin(opening)
    opening.then(
      (socket) => done(null, begin(socket)),
      (error: Error) => done(error, undefined as unknown as Socket),
    )
    return undefined
  }

  /** The body of a response begins; streams are read at intervals where there are many. */
  beginBody(response: IncomingMessage, isStream: boolean): void {
    this.#response = response
    if (isStream) this.#throttle?.begin(response)
  }

  ref(): void {
    this.#holdsProcess = true
    this.#socket?.ref()
    this.#throttle?.ref()
  }

  /** A connection that nobody waits for does not keep the process alive. */
  unref(): void {
    this.#holdsProcess = false
    this.#socket?.unref()
    this.#throttle?.unref()
  }

  /** The request is over: the next one may have the connection, unless the server or its hint says otherwise. */
  release(): void {
    const socket = this.#socket
    const keepMs = keepAliveOf(this.#response)
    this.#response = undefined
    this.#throttle?.end()
    const idleCount = idle.get(this.#key)?.length ?? 0
    if (!socket?.writable || this.#isDestroyed || keepMs <= 0 || idleCount >= maxIdle) return this.destroy()
    this.#offer()
    this.unref()
    // An idle socket has to be read, or its close would not be seen. Bytes that nobody asked for end it.
    socket.once('data', this.#onStrayBytes).resume()
    this.#idleTimer = setTimeout(() => this.destroy(), keepMs)
    this.#idleTimer.unref()
  }

  /** Gives back a connection that was taken and not used. */
  putBack(): void {
    // It is idle still: its timer runs by the server's hint, and stray bytes end it.
    if (this.#socket && !this.#isDestroyed) this.#offer()
  }

  /** Closes the socket, also one that is still being connected. */
  destroy(): void {
    this.#isDestroyed = true
    clearTimeout(this.#idleTimer)
    this.#socket?.destroy()
  }

  /** The next request of this route may take the connection. */
  #offer(): void {
    const others = idle.get(this.#key)
    if (others) others.push(this)
    else idle.set(this.#key, [this])
  }

  readonly #onStrayBytes = (): void => this.destroy()

  #wake(socket: Socket): Socket {
    this.#isNew = false
    this.#bytesBefore = socket.bytesRead
    clearTimeout(this.#idleTimer)
    socket.off('data', this.#onStrayBytes)
    this.ref()
    return socket
  }

  /** Closes a socket that became known only after the connection was destroyed. */
  #follow(socket: Socket): void {
    this.#socket = socket
    if (!this.#holdsProcess) socket.unref()
    if (this.#isDestroyed) socket.destroy()
  }

  /** The socket is closed. */
  #forget(): void {
    const others = idle.get(this.#key)
    const at = others?.indexOf(this) ?? -1
    if (others && at >= 0) {
      others.splice(at, 1)
      if (others.length === 0) idle.delete(this.#key)
    }
    this.destroy()
  }
}

/** How long the server lets the connection stand idle, by its `keep-alive: timeout=…` header in seconds. */
function keepAliveOf(response: IncomingMessage | undefined): number {
  const hint = /timeout=(\d+)/i.exec((response && headerOf(response, 'keep-alive')) ?? '')?.[1]
  if (hint === undefined) return keepAliveMs
  return Math.min(Number(hint) * 1_000 - keepAliveMarginMs, maxKeepAliveMs)
}
