/**
 * Kept-alive connections: one undici Client each, so that a request has its socket to itself and a cancel closes that
 * socket and no other. Shared by all LLMs of the process; idle ones never hold it.
 */
import type { Socket } from 'node:net'
import type { buildConnector, Client, Dispatcher } from 'undici'
import { connectThrough, proxyHeaders } from './proxy.ts'
import { ReadThrottle } from './read-throttle.ts'

/** Where requests go: the server's origin, and the proxy on the way there. */
export interface Route {
  origin: string
  proxy: URL | undefined
}

/**
 * The parts of undici that are used. Its whole entry takes 70 ms to load, and puts its own dispatcher under the global
 * fetch; the client alone takes half, and touches nothing. Should a version move the files, the entry has them too.
 */
const [UndiciClient, makeConnector] = await Promise.all([
  import('undici/lib/dispatcher/client.js'),
  import('undici/lib/core/connect.js'),
]).then(
  ([client, connect]) => [client.default, connect.default] as const,
  async () => {
    const undici = await import('undici')
    return [undici.Client, undici.buildConnector] as const
  },
)

/** Idle connections of one route beyond this are closed. */
const maxIdle = 1_024
/** Long enough for a conversation's next turn, and below what most servers grant; a server's own hint rules over it. */
const keepAliveMs = 30_000
/** A connection is given up so long before the time that its server named. */
const keepAliveMarginMs = 1_000

/**
 * One connector for all, so that TLS sessions are resumed. The clock of a connection in the making is its request's.
 * The mark is the sockets' own, as ReadSpacing needs it; undici's types lack it.
 */
const connectPlainly = makeConnector({ timeout: 0, highWaterMark: 1 } as buildConnector.BuildOptions)

const idle = new Map<string, Connection[]>()

/** An idle connection of this route, the last one used first, or a new one. */
export function takeConnection(route: Route, mustBeNew = false): Connection {
  return (mustBeNew ? undefined : idle.get(keyOf(route))?.pop()) ?? new Connection(route)
}

export class Connection {
  readonly #route: Route
  readonly #client: Client
  /** Called when a socket is being made for the request, be it late, and when it stands. */
  onConnecting: (() => void) | undefined
  onConnect: (() => void) | undefined
  /** The socket of the request that runs. */
  socket: Socket | undefined
  /** Whether the socket was made for this request. */
  isNew = false
  #spacing: ReadThrottle | undefined
  #bytesBefore = 0
  #isPaused = false
  #isDestroyed = false

  constructor(route: Route) {
    this.#route = route
    this.#client = new UndiciClient(isForwarded(route) ? route.proxy.origin : route.origin, {
      connect: (options, callback) => this.#connect(options, callback),
      // Waiting is bounded by convoke's own clocks.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      keepAliveTimeoutThreshold: keepAliveMarginMs,
    })
    this.#client.on('disconnect', () => this.#forget())
  }

  /** Sends a request; the connection serves one at a time. */
  dispatch(
    request: { path: string; method: string; headers: string[]; body: string | Uint8Array | undefined },
    handler: Dispatcher.DispatchHandler,
  ): void {
    this.isNew = false
    this.#isPaused = false
    this.#bytesBefore = this.socket?.bytesRead ?? 0
    const way = isForwarded(this.#route) ? forwarded(request, this.#route) : request
    const method = request.method as Dispatcher.HttpMethod
    this.#client.dispatch({ ...way, method, body: request.body ?? null }, handler)
  }

  /** Whether a byte came since the request was given to it, be it half a status line. */
  get hasAnswered(): boolean {
    return (this.socket?.bytesRead ?? 0) > this.#bytesBefore
  }

  /** The response is a stream, which is read with others in turn where there are many. */
  beginStream(): void {
    this.#spacing?.begin()
  }

  /** The socket is read no more for now. undici's own pause fails an assertion when the connection ends meanwhile. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.socket?.emit('readable')
  }

  /** The request is over: the next one may have the connection. */
  release(): void {
    this.#spacing?.end()
    // Its end may have come in the same read as what the reader was held back for. An idle socket must see its close.
    if (this.#isPaused) setImmediate(() => this.resume())
    const key = keyOf(this.#route)
    const others = idle.get(key)
    if (!this.socket || this.socket.destroyed) this.destroy()
    else if (!others) idle.set(key, [this])
    else if (others.length < maxIdle) others.push(this)
    else this.destroy()
  }

  /** Closes the socket, also one that is still being connected. */
  destroy(reason?: Error): void {
    this.#isDestroyed = true
    this.#client.destroy(reason ?? null).catch(() => {})
    this.socket?.destroy()
  }

  #connect(options: buildConnector.Options, callback: buildConnector.Callback): void {
    this.isNew = true
    this.onConnecting?.()
    const { proxy } = this.#route
    const done: buildConnector.Callback = (...[error, socket]) => {
      if (error) return callback(error, null)
      this.#follow(socket)
      this.#holdBack(socket)
      this.#spacing = new ReadThrottle(socket)
      this.onConnect?.()
      callback(null, socket)
    }
    if (proxy && !isForwarded(this.#route)) {
      connectThrough(proxy, new URL(this.#route.origin), (socket) => this.#follow(socket)).then(
        // The types lack `httpSocket`, which carries TLS through a tunnel; undici's own ProxyAgent uses it.
        (tunnel) => connectPlainly({ ...options, httpSocket: tunnel } as buildConnector.Options, done),
        (error: Error) => done(error, null),
      )
      return
    }
    // TLS to a proxy is checked against its own name; undici would take the one in the request.
    const { servername: _servername, ...rest } = options
    const way = proxy ? (rest as buildConnector.Options) : options
    this.#follow(connectPlainly(way, done) as unknown as Socket)
  }

  /** An end that came before the socket was known reaches it now. */
  #follow(socket: Socket): void {
    this.socket = socket
    if (this.#isDestroyed) socket.destroy()
  }

  /** undici reads its sockets by `read`. What it is not given stays in the socket, and the kernel stops the sender. */
  #holdBack(socket: Socket): void {
    const read = socket.read.bind(socket)
    socket.read = (size?: number) => (this.#isPaused && size !== 0 ? null : (read(size) as Buffer | null))
  }

  /** The server closed it. */
  #forget(): void {
    const key = keyOf(this.#route)
    const others = idle.get(key)
    const at = others?.indexOf(this) ?? -1
    if (!others || at < 0) return
    others.splice(at, 1)
    if (others.length === 0) idle.delete(key)
    this.destroy()
  }
}

/** Whether a proxy takes the request itself, and opens no tunnel: on a way without TLS. */
function isForwarded(route: Route): route is Route & { proxy: URL } {
  return route.proxy !== undefined && route.origin.startsWith('http:')
}

/** A request as a proxy takes it: by its whole URL, with the target's host. */
function forwarded<Request extends { path: string; headers: string[] }>(
  request: Request,
  { origin, proxy }: Route & { proxy: URL },
): Request {
  const hasHost = request.headers.some((name, at) => at % 2 === 0 && name === 'host')
  const host = hasHost ? [] : ['host', new URL(origin).host]
  return {
    ...request,
    path: origin + request.path,
    headers: [...request.headers, ...host, ...proxyHeaders(proxy)],
  }
}

function keyOf({ origin, proxy }: Route): string {
  return proxy ? `${proxy.href} ${origin}` : origin
}
