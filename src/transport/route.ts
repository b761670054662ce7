/** Where a request goes: the server, and the proxy on the way to it. */
export interface Route {
  /** The server's address. */
  url: URL
  proxy: URL | undefined
  /** The host that a Host header of the user's names: TLS asks for its certificate. @default that of the address */
  host: string | undefined
}

/** Requests with equal keys may share a connection. */
export function routeKey({ url, proxy, host }: Route): string {
  const via = proxy ? `${proxy.href} ` : ''
  return url.protocol === 'https:' && host ? `${via}${url.origin} ${host}` : via + url.origin
}

/** Whether the proxy takes the request itself and opens no tunnel: on a way without TLS. */
export function isForwarded(route: Route): route is Route & { proxy: URL } {
  return route.proxy !== undefined && route.url.protocol === 'http:'
}
