/** Opens the sockets that requests go over: TCP or TLS, to the server, to its proxy, or through the proxy's tunnel. */
import type net from 'node:net'
import type tls from 'node:tls'
import type { Socket } from 'node:net'
import type http from 'node:http'
import { ConvokeError } from '../errors.ts'
import { proxyHeaders } from './proxy.ts'

/** Idle TCP connections are probed from this age on, so that a peer that went away is noticed. */
const probeAfterMs = 60_000
/** Sessions kept for TLS, one for each host: a session that is resumed saves a round trip and the certificate. */
const maxSessions = 100

const sessions = new Map<string, Buffer>()

/**
 * Every socket of the process reads into this one buffer, and hands on a copy of just the bytes that came. Node's own
 * way allocates 64 KB for each read and cuts it down afterwards. Reads never overlap: each is handled before the next.
 */
const readBuffer = Buffer.allocUnsafeSlow(65_536)

/**
 * Opens the socket for a route. It may still be connecting when it is given; `whenConnected` says when it stands.
 *
 * @param follow is told of each socket on the way as soon as it exists, so that it can be closed early
 */
export function openSocket(route: Route, follow: (socket: Socket) => void): Socket | Promise<Socket> {
  const { proxy, host } = route
  const url = new URL(route.origin)
  if (proxy && !isForwarded(route)) {
    return openTunnel(proxy, url, follow).then((tunnel) => tell(follow, secure(url, host, tunnel)))
  }
  // TLS to a proxy is checked against the proxy's own name.
  const socket = !proxy ? connect(url, host) : connect(proxy, undefined)
  return tell(follow, socket)
}

function tell(follow: (socket: Socket) => void, socket: Socket): Socket {
  follow(socket)
  return socket
}

/** Calls the listener when the socket is connected, the TLS handshake included. */
export function whenConnected(socket: Socket, listener: () => void): void {
  socket.once('encrypted' in socket ? 'secureConnect' : 'connect', listener)
}

function connect(url: URL, host: string | undefined): Socket {
  const socket = url.protocol === 'https:' ? secure(url, host) : plain(url)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, probeAfterMs)
  return socket
}

function plain(url: URL): Socket {
  const { connect } = process.getBuiltinModule('node:net')
  const socket: Socket = connect({ ...addressOf(url, 80), onread: readInto(() => socket) })
  return socket
}

/** TLS, over a tunnel where there is one. Node ignores `onread` there and reads in its own way. */
function secure(url: URL, host: string | undefined, tunnel?: Socket): Socket {
  // Loading TLS takes 8 to 17 ms, which requests to a server without it are spared.
  const { connect } = process.getBuiltinModule('node:tls')
  const { isIP } = process.getBuiltinModule('node:net')
  const address = addressOf(url, 443)
  const name = host ?? address.host
  const key = `${name}:${address.port}`
  const session = sessions.get(key)
  const options: tls.ConnectionOptions = {
    ...address,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(name) ? {} : { servername: name }),
    ...(session ? { session } : {}),
    ...(tunnel ? { socket: tunnel } : { onread: readInto(() => socket) }),
  }
  const socket: tls.TLSSocket = connect(options)
  // A resumed session skips the check of the server's name, so only sessions that passed it are kept.
  socket.on('session', (session) => {
    if (socket.authorized) remember(key, session)
  })
  socket.once('error', () => sessions.delete(key))
  return socket
}

function remember(key: string, session: Buffer): void {
  sessions.delete(key)
  if (sessions.size >= maxSessions) sessions.clear()
  sessions.set(key, session)
}

/** Reads into the shared buffer; a copy goes to whoever listens to the socket's data. */
function readInto(socket: () => Socket): net.OnReadOpts {
  return {
    buffer: readBuffer,
    callback: (length) => {
      socket().emit('data', Buffer.from(readBuffer.subarray(0, length)))
      return true
    },
  }
}

function addressOf({ hostname, port }: URL, usualPort: number): { host: string; port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? usualPort : Number(port) }
}

/** Where a request goes: the server, and the proxy on the way to it. */
export interface Route {
  /** The server's origin: protocol, host and port. */
  origin: string
  proxy: URL | undefined
  /** The host that a Host header of the user's names: TLS asks for its certificate. @default that of the origin */
  host: string | undefined
}

/** Requests with equal keys may share a connection. */
export function routeKey({ origin, proxy, host }: Route): string {
  if (!proxy && !host) return origin
  return `${proxy?.href ?? ''} ${origin} ${host ?? ''}`
}

/** Whether the proxy takes the request itself and opens no tunnel: on a way without TLS. */
export function isForwarded(route: Route): route is Route & { proxy: URL } {
  return route.proxy !== undefined && route.origin.startsWith('http:')
}

/**
 * Opens a tunnel through a proxy to the target by the method CONNECT.
 *
 * @param follow is told of the tunnel's socket as soon as it exists, so that it can be closed early
 * @throws ConvokeError `connection` when the proxy refuses
 */
function openTunnel(proxy: URL, target: URL, follow: (socket: Socket) => void): Promise<Socket> {
  const address = `${target.hostname}:${target.port || 443}`
  return new Promise((resolve, reject) => {
    const request = requestTunnel(proxy, address)
    request.once('socket', follow)
    request.once('error', reject)
    request.once('connect', (response, socket: Socket, head: Buffer) => {
      if (head.length > 0) socket.unshift(head)
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    // Some proxies answer CONNECT by a page.
    request.once('response', (response) => {
      request.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    request.end()
  })
}

function requestTunnel(proxy: URL, address: string): http.ClientRequest {
  const isSecure = proxy.protocol === 'https:'
  const { request } = isSecure
    ? process.getBuiltinModule('node:https')
    : process.getBuiltinModule('node:http')
  return request({
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (isSecure ? 443 : 80),
    method: 'CONNECT',
    path: address,
    agent: false,
    headers: { host: address, ...proxyHeaders(proxy) },
  })
}

function refusal(proxy: URL, address: string, status: number): ConvokeError {
  const remedy = status === 407 ? ' Put a user and a password into its address.' : ''
  return new ConvokeError(
    'connection',
    `The proxy ${proxy.host} opened no tunnel to ${address}: status ${status}.${remedy}`,
  )
}
