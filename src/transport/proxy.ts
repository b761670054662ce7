/** Which proxy a request takes, by option or by environment. */
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
  const { origin } = url
  if (!found.has(origin)) found.set(origin, isLocal(url) ? undefined : fromEnvironment(url))
  return found.get(origin)
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

/** The header for the user and the password in a proxy's address; none where it has no user. */
export function proxyHeaders({ username, password }: URL): Record<string, string> {
  return username ? { 'proxy-authorization': basicCredentials(username, password) } : {}
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
