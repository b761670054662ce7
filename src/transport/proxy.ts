/** Proxies: which one a request takes, by option or by environment, and the tunnel through it. */
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { getProxyForUrl } from 'proxy-from-env'
import { ConvokeError } from '../errors.ts'

/** The environment's proxies by origin: it is read at the first request to each. */
const found = new Map<string, URL | undefined>()

/**
 * The proxy on the way to a URL: the one that was passed; without it, that of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`
 * and `NO_PROXY` (also in lower case), but never on the way to this machine itself. `false` means none.
 * @throws ConvokeError `configuration` for a proxy of the environment that is no HTTP proxy
 */
export function proxyFor(url: URL, given: string | false | undefined): URL | undefined {
  if (given === false) return undefined
  if (given !== undefined) return new URL(given)
  if (!found.has(url.origin)) found.set(url.origin, isLocal(url) ? undefined : fromEnvironment(url))
  return found.get(url.origin)
}

function fromEnvironment(url: URL): URL | undefined {
  const address = getProxyForUrl(url)
  if (address === '') return undefined
  const proxy = URL.canParse(address) ? new URL(address) : undefined
  if (proxy?.protocol === 'http:' || proxy?.protocol === 'https:') return proxy
  // It may hold a password, so it is not quoted.
  throw new ConvokeError(
    'configuration',
    `The proxy that the environment names for ${url.host} is no HTTP proxy. Set HTTPS_PROXY to an address such as http://proxy.example:3128, or pass proxy: false.`,
  )
}

function isLocal({ hostname }: URL): boolean {
  return /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)
}

/** The header of a user and password in the proxy's address, as names and values in turn. */
export function proxyHeaders({ username, password }: URL): string[] {
  if (!username) return []
  return ['proxy-authorization', basicCredentials(username, password)]
}

/** The user and password of a URL as a header has them. */
export function basicCredentials(username: string, password: string): string {
  return `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`
}

/** A bare `%` stays what it is. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * A tunnel to the target. `follow` is told of its socket at once, to close it before it stands.
 * @throws ConvokeError `connection` when the proxy refuses
 */
export function connectThrough(proxy: URL, target: URL, follow: (socket: Socket) => void): Promise<Socket> {
  const address = `${target.hostname}:${target.port || 443}`
  return new Promise((resolve, reject) => {
    const [name, credentials] = proxyHeaders(proxy)
    const request = (proxy.protocol === 'https:' ? https : http).request({
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: address,
      agent: false,
      headers: { host: address, ...(name ? { [name]: credentials } : {}) },
    })
    request.once('socket', follow)
    request.once('error', reject)
    request.once('connect', (response, socket: Socket, head: Buffer) => {
      if (head.length > 0) socket.unshift(head)
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    // A proxy that answers CONNECT with a page.
    request.once('response', (response) => {
      request.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    request.end()
  })
}

function refusal(proxy: URL, address: string, status: number): ConvokeError {
  const remedy = status === 407 ? ' Put a user and a password into its address.' : ''
  return new ConvokeError(
    'connection',
    `The proxy ${proxy.host} opened no tunnel to ${address}: status ${status}.${remedy}`,
  )
}
