/**
 * A fetch on undici's client without Request, Response or web streams: half of a vendor call's CPU is the global fetch
 * (test/bench has the figures). It takes what the vendors' SDKs send, and hands status, headers and bytes to convoke.
 */
import type { Dispatcher } from 'undici'
import { ConvokeError } from '../errors.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import { PushedBody } from './body.ts'
import type { ByteSource } from './body.ts'
import { takeConnection } from './connections.ts'
import type { Connection, Route } from './connections.ts'
import { lendSocket, returnSocket } from './hold-process.ts'
import { inflated } from './inflate.ts'
import { proxyFor } from './proxy.ts'
import { headerPairs, isSecretHeader } from './secrets.ts'

/** What an SDK may pass; `connectMs` and `proxy` are convoke's own. */
export interface UndiciRequest {
  method?: string
  headers?: unknown
  body?: unknown
  signal?: AbortSignal | null
  /** Milliseconds until the socket is connected, TLS included. */
  connectMs?: number
  /** The proxy's address; `false` for none. @default that of the environment */
  proxy?: string | false | undefined
}

/** What a response is made of. */
export class UndiciResponse {
  readonly status: number
  /** The bytes, decompressed. Reading or ending it is the caller's duty. */
  readonly source: ByteSource
  readonly #fields: HeaderFields
  #headers: Headers | undefined

  constructor(status: number, fields: HeaderFields, source: ByteSource) {
    this.status = status
    this.source = source
    this.#fields = fields
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get headers(): Headers {
    if (!this.#headers) {
      this.#headers = new Headers()
      for (const [name, value] of Object.entries(this.#fields)) {
        for (const line of [value ?? []].flat()) this.#headers.append(name, line)
      }
    }
    return this.#headers
  }
}

type HeaderFields = Record<string, string | string[] | undefined>

const maxRedirects = 5
/** A connection that breaks so soon after a request was written to it had been closed by the server before. */
const staleMs = 1_000

/**
 * Sends one request. A kept-alive connection that turns out to be dead before a byte of the response is replaced by a
 * new one, once: the server closed it while the request was on its way.
 * @throws ConvokeError `timeout` (connect) or `configuration` (proxy); else it rejects with the signal's reason, or the
 * error of the socket
 */
export async function undiciFetch(input: string | URL, init: UndiciRequest = {}): Promise<UndiciResponse> {
  let url = new URL(input)
  let headers = flatHeaders(init.headers)
  for (let hop = 0; ; hop++) {
    const route: Route = { origin: url.origin, proxy: proxyFor(url, init.proxy) }
    let response: UndiciResponse
    try {
      response = await new Transfer(takeConnection(route), url, init).start(headers)
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error
      response = await new Transfer(takeConnection(route, true), url, init).start(headers)
    }
    const location = redirectOf(response, init.method ?? 'GET')
    if (!location || hop === maxRedirects) return response
    // Its body may have no end.
    response.source.destroy()
    const next = new URL(location, url)
    if (next.origin !== url.origin) headers = withoutSecrets(headers)
    url = next
  }
}

/** A connection that had served before broke before a byte of the response. */
class StaleConnection extends Error {}

/** One request on its connection. */
class Transfer implements Dispatcher.DispatchHandler {
  readonly #connection: Connection
  readonly #url: URL
  readonly #init: UndiciRequest
  /** Undefined while it was not written to the socket. */
  #sentAtMs: number | undefined
  #body: PushedBody | undefined
  #isOver = false
  #connectTimer: NodeJS.Timeout | undefined
  #resolve: (response: UndiciResponse) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  constructor(connection: Connection, url: URL, init: UndiciRequest) {
    this.#connection = connection
    this.#url = url
    this.#init = init
  }

  start(headers: string[]): Promise<UndiciResponse> {
    const { signal, method = 'GET', body } = this.#init
    if (signal?.aborted) {
      this.#connection.release()
      return Promise.reject(signal.reason as Error)
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      signal?.addEventListener('abort', this.#onAbort)
      this.#connection.onConnecting = () => this.#watchConnect()
      const path = this.#url.pathname + this.#url.search
      try {
        this.#connection.dispatch({ path, method, headers, body: body as string | undefined }, this)
      } catch (error) {
        this.#end(error as Error)
      }
    })
  }

  onRequestStart(): void {
    this.#sentAtMs = performance.now()
    const { signal } = this.#init
    if (signal && this.#connection.socket) lendSocket(signal, this.#connection.socket)
  }

  onRequestUpgrade(): void {
    this.#end(new Error('The server answered with an upgrade to another protocol.'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, fields: HeaderFields): void {
    // 1xx: the response is still to come.
    if (status < 200) return
    if (isStream(fields)) this.#connection.beginStream()
    this.#body = new PushedBody({
      pause: () => this.#connection.pause(),
      resume: () => this.#connection.resume(),
      close: (reason) => this.#end(reason),
    })
    this.#resolve(new UndiciResponse(status, fields, inflated(this.#body, fields['content-encoding'])))
  }

  onResponseData(_controller: Dispatcher.DispatchController, piece: Buffer): void {
    this.#body?.push(piece)
  }

  onResponseEnd(): void {
    if (this.#isOver) return
    this.#letGo()
    this.#connection.release()
    this.#body?.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#end(this.#isStale(error) ? new StaleConnection(error.message, { cause: error }) : error)
  }

  readonly #onAbort = (): void => this.#end(this.#init.signal?.reason as Error)

  /** Ends the request, and its connection with it. */
  #end(reason: Error): void {
    if (this.#isOver) return
    this.#letGo()
    this.#connection.destroy(reason)
    if (this.#body) this.#body.destroy(reason)
    else this.#reject(reason)
  }

  #letGo(): void {
    this.#isOver = true
    clearTimeout(this.#connectTimer)
    this.#connection.onConnecting = undefined
    this.#connection.onConnect = undefined
    const { signal } = this.#init
    if (!signal) return
    signal.removeEventListener('abort', this.#onAbort)
    // From now on the socket is the pool's, or another request's.
    returnSocket(signal)
  }

  #isStale(error: Error): boolean {
    const { code = '' } = error as NodeJS.ErrnoException
    const isBroken = /^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/.test(code)
    const isSoon = this.#sentAtMs === undefined || performance.now() - this.#sentAtMs < staleMs
    return isBroken && isSoon && !this.#connection.isNew && !this.#connection.hasAnswered
  }

  #watchConnect(): void {
    const { connectMs = Infinity } = this.#init
    if (connectMs > maxTimerMs || this.#isOver) return
    this.#connection.onConnect = () => clearTimeout(this.#connectTimer)
    this.#connectTimer = setTimeout(() => {
      const message = `No connection to ${this.#url.host} within connectMs ${connectMs}.`
      this.#end(new ConvokeError('timeout', message, { phase: 'connect' }))
    }, connectMs)
  }
}

/** Whether the body comes event by event, by its content type. */
function isStream(fields: HeaderFields): boolean {
  return /event-stream|ndjson/.test(String(fields['content-type']))
}

function redirectOf(response: UndiciResponse, method: string): string | undefined {
  const { status } = response
  if (status < 301 || status > 308) return undefined
  const keepsMethod = status === 307 || status === 308
  const mayFollow = keepsMethod || (status <= 303 && method === 'GET')
  return mayFollow ? (response.headers.get('location') ?? undefined) : undefined
}

/** Set by the client itself, from the body and the connection. */
const ownHeaders = new Set([
  'content-length',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'expect',
  'upgrade',
])

/** Names and values in turn. */
function flatHeaders(given: unknown): string[] {
  const flat: string[] = []
  const seen = new Set<string>()
  for (const [name, value] of headerPairs(given)) {
    if (value === undefined || value === null) continue
    const lower = name.toLowerCase()
    // The first of a name counts.
    if (ownHeaders.has(lower) || seen.has(lower)) continue
    seen.add(lower)
    flat.push(lower, String(value))
  }
  // A compressor holds text of a stream back; vendors send plain bytes when asked.
  if (!seen.has('accept-encoding')) flat.push('accept-encoding', 'identity')
  return flat
}

function withoutSecrets(headers: string[]): string[] {
  return headers.filter((_, at) => !isSecretHeader(headers[at - (at % 2)] as string))
}
