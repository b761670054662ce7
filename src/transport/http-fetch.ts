import { takeConnection } from './connection.ts'
import type { HttpResponse } from './http-response.ts'
import { proxyFor } from './proxy.ts'
import type { Route } from './open-socket.ts'
import { headerPairs, isSecretHeader } from './secrets.ts'
import { HttpExchange, StaleConnectionError } from './http-exchange.ts'
import type { HttpRequest, RequestHeaders } from './http-exchange.ts'

const maxRedirects = 5

/**
 * A fetch on `node:http`, without Request, Response or web streams: half of a vendor call's CPU is the global fetch
 * (test/bench has the figures). It takes what the vendors' SDKs send, and gives status, headers and bytes.
 *
 * A kept-alive connection that turns out to be dead before a byte of the response is replaced by a new one, once: the
 * server closed it while the request was on its way.
 * @throws ConvokeError `timeout` (connect) or `configuration` (proxy); else it rejects with the signal's reason, or the
 * error of the socket
 */
export async function httpFetch(input: string | URL, init: HttpRequest = {}): Promise<HttpResponse> {
  let url = new URL(input)
  let headers = requestHeaders(init.headers)
  for (let hop = 0; ; hop++) {
    const response = await exchange(url, headers, init)
    const location = redirectOf(response, init.method ?? 'GET')
    if (!location || hop === maxRedirects) return response
    // Its body may have no end.
    response.source.destroy()
    const next = new URL(location, url)
    if (next.origin !== url.origin) headers = withoutSecrets(headers)
    url = next
  }
}

async function exchange(url: URL, headers: RequestHeaders, init: HttpRequest): Promise<HttpResponse> {
  const host = headers['host']?.replace(/:\d+$/, '')
  const route: Route = { origin: url.origin, proxy: proxyFor(url, init.proxy), host }
  try {
    return await new HttpExchange(takeConnection(route), url, init).start(headers)
  } catch (error) {
    if (!(error instanceof StaleConnectionError)) throw error
    return new HttpExchange(takeConnection(route, true), url, init).start(headers)
  }
}

function redirectOf(response: HttpResponse, method: string): string | undefined {
  const { status } = response
  if (status < 301 || status > 308) return undefined
  const keepsMethod = status === 307 || status === 308
  const mayFollow = keepsMethod || (status <= 303 && method === 'GET')
  return mayFollow ? (response.headers.get('location') ?? undefined) : undefined
}

/** These follow from the body and the connection, so that the transport sets them itself. */
const ownHeaders = new Set([
  'content-length',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'expect',
  'upgrade',
])

/** The headers that the transport sends for those an SDK gave. The first of a name counts. */
function requestHeaders(given: unknown): RequestHeaders {
  const headers = Object.create(null) as Record<string, string>
  for (const [name, value] of headerPairs(given)) {
    if (value === undefined || value === null) continue
    const lower = name.toLowerCase()
    if (!ownHeaders.has(lower)) headers[lower] ??= String(value)
  }
  // A compressor holds the text of a stream back; vendors send plain bytes when they are asked to.
  headers['accept-encoding'] ??= 'identity'
  return headers
}

/** The same headers without keys and passwords, for a redirect to another server. */
function withoutSecrets(headers: RequestHeaders): RequestHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isSecretHeader(name)))
}
