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
