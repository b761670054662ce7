import { headerPairs, isSecretHeader } from './secrets.ts'

/** The headers of a request by their names in lower case. */
export type RequestHeaders = Readonly<Record<string, string>>

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
export function requestHeaders(given: unknown): RequestHeaders {
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
export function withoutSecrets(headers: RequestHeaders): RequestHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isSecretHeader(name)))
}
