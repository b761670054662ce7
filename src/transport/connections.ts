/**
 * Kept-alive connections: one undici Client each, so that a request has its socket to itself and a cancel closes that
 * socket and no other. Shared by all LLMs of the process; idle ones never hold it.
 */
import type { Socket } from 'node:net'
import type { buildConnector, Client, Dispatcher } from 'undici'
import { connectThrough, proxyHeaders } from './proxy.ts'

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

/** One connector for all, so that TLS sessions are resumed. The clock of a connection in the making is its request's. */
const connectPlainly = makeConnector({ timeout: 0 })

const idle = new Map<string, Connection[]>()

/** An idle connection of this route, the last one used first, or a new one. */
export function takeConnection(route: Route, mustBeNew = false): Connection {
  return (mustBeNew ? undefined : idle.get(keyOf(route))?.pop()) ?? new Connection(route)
}

export class Connection {
  readonly #route: Route
  readonly #client: Client
  /** Called once when the socket stands. */
  onConnect: (() => void) | undefined
  /** The socket of the request that runs. */
  socket: Socket | undefined
  /** Whether the socket was made for this request. */
  isNew = false
  #bytesBefore = 0

  constructor(route: Route) {
    this.#route = route
    this.#client = new UndiciClient(route.proxy && isPlain(route) ? route.proxy.origin : route.origin, {
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
    this.#bytesBefore = this.socket?.bytesRead ?? 0
    const { proxy, origin } = this.#route
    const isForwarded = proxy !== undefined && isPlain(this.#route)
    this.#client.dispatch(
      {
        ...request,
        method: request.method as Dispatcher.HttpMethod,
        body: request.body ?? null,
        ...(isForwarded
          ? {
              path: origin + request.path,
              headers: [...request.headers, 'host', new URL(origin).host, ...proxyHeaders(proxy)],
            }
          : {}),
      },
      handler,
    )
  }

  /** Whether a byte came since the request was given to it, be it half a status line. */
  get hasAnswered(): boolean {
    return (this.socket?.bytesRead ?? 0) > this.#bytesBefore
  }

  /** The request is over: the next one may have the connection. */
  release(): void {
    const key = keyOf(this.#route)
    const others = idle.get(key)
    if (!others) idle.set(key, [this])
    else if (others.length < maxIdle) others.push(this)
    else this.destroy()
  }

  /** Closes the socket, also one that is still being connected. */
  destroy(reason?: Error): void {
    this.#client.destroy(reason ?? null).catch(() => {})
    this.socket?.destroy()
  }

  #connect(options: buildConnector.Options, callback: buildConnector.Callback): void {
    this.isNew = true
    const { proxy } = this.#route
    const done: buildConnector.Callback = (...[error, socket]) => {
      if (error) return callback(error, null)
      this.socket = socket
      this.onConnect?.()
      callback(null, socket)
    }
    const follow = (socket: Socket) => {
      this.socket = socket
    }
    if (proxy && !isPlain(this.#route)) {
      connectThrough(proxy, new URL(this.#route.origin), follow).then(
        // The types lack `httpSocket`, which carries TLS through a tunnel; undici's own ProxyAgent uses it.
        (tunnel) => connectPlainly({ ...options, httpSocket: tunnel } as buildConnector.Options, done),
        (error: Error) => done(error, null),
      )
    } else follow(connectPlainly(options, done) as unknown as Socket)
  }

  /** The server closed it. */
  #forget(): void {
    const others = idle.get(keyOf(this.#route))
    const at = others?.indexOf(this) ?? -1
    if (at < 0) return
    others?.splice(at, 1)
    this.destroy()
  }
}

/** Whether the way is without TLS: a proxy then takes the request itself, and opens no tunnel. */
function isPlain({ origin }: Route): boolean {
  return origin.startsWith('http:')
}

function keyOf({ origin, proxy }: Route): string {
  return proxy ? `${proxy.href} ${origin}` : origin
}
