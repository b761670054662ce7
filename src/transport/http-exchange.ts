import type { ClientRequest, IncomingMessage } from 'node:http'
import { ConvokeError } from '../errors.ts'
import { onAbort } from '../policies/cancellation.ts'
import { maxTimerMs } from '../policies/deadline.ts'
import { ResponseBody, headerOf, HttpResponse } from './http-response.ts'
import type { Connection } from './connection.ts'
import { lendHold, returnHold } from './hold-process.ts'
import { inflated } from './inflate.ts'
import { proxyHeaders } from './proxy.ts'

import { isForwarded } from './open-socket.ts'
import type { Route } from './open-socket.ts'

/** A connection that breaks so soon after a request was written to it had been closed by the server before. */
const staleMs = 1_000

/** A connection that had served before broke before a byte of the response came. */
export class StaleConnectionError extends Error {}

/** One request and its response on a connection of their own. */
export class HttpExchange {
  readonly #connection: Connection
  readonly #url: URL
  readonly #init: HttpRequest
  readonly #startedAtMs = performance.now()
  #request: ClientRequest | undefined
  #body: ResponseBody | undefined
  #isOver = false
  /** The error that broke the connection, where Node tells it before it ends the response. */
  #error: Error | undefined
  #connectTimer: NodeJS.Timeout | undefined
  #stopListening: () => void = () => {}
  #resolve: (response: HttpResponse) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  constructor(connection: Connection, url: URL, init: HttpRequest) {
    this.#connection = connection
    this.#url = url
    this.#init = init
  }

  /** Sends the request and waits for the head of its response. */
  start(headers: RequestHeaders): Promise<HttpResponse> {
    const { signal } = this.#init
    if (signal?.aborted) {
      this.#connection.putBack()
      return Promise.reject(signal.reason as Error)
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      if (signal) {
        this.#stopListening = onAbort(signal, (reason) => this.#end(reason as Error))
        lendHold(signal, this.#connection)
      }
      if (this.#connection.isNew) this.#watchConnect()
      try {
        this.#send(headers)
      } catch (error) {
        this.#end(error as Error)
      }
    })
  }

  #send(headers: RequestHeaders): void {
    const { method = 'GET', body } = this.#init
    const { route } = this.#connection
    const path = this.#url.pathname + this.#url.search
    this.#request = process
      // By `import`, the getters of the module would load WebSocket along: 30 ms instead of 4.
      .getBuiltinModule('node:http')
      .request({
        method,
        path: isForwarded(route) ? this.#url.origin + path : path,
        // Without an agent, this header is what lets Node keep the connection open.
        headers: {
          host: this.#url.host,
          ...headers,
          ...forwardingHeaders(route),
          ...lengthHeader(body),
          connection: 'keep-alive',
        },
        createConnection: (_, done) => this.#connection.open(done, () => clearTimeout(this.#connectTimer)),
      })
      .on('response', (response) => this.#onResponse(response))
      .on('upgrade', () => this.#end(new Error('The server answered with an upgrade to another protocol.')))
      .on('error', (error) => this.#onError(error))
      .on('close', () => this.#onClose())
    // Node would write the headers in UTF-8 together with a text; before bytes it writes them as HTTP has them.
    const isLatin = Object.values(headers).some((value) => !isAscii.test(value))
    this.#request.end(isLatin ? Buffer.from(body ?? '') : body)
  }

  #onResponse(response: IncomingMessage): void {
    this.#connection.beginBody(response, isStream(response))
    const body = new ResponseBody(response, (reason) => this.#end(reason))
    this.#body = body
    response.on('end', () => this.#onEnd()).on('error', (error) => this.#end(this.#error ?? error))
    this.#resolve(new HttpResponse(response, inflated(body, headerOf(response, 'content-encoding'))))
  }

  /** The response is whole. */
  #onEnd(): void {
    if (this.#isOver) return
    this.#letGo()
    // A server that answers before it has the whole request does not want the rest.
    if (!this.#request?.writableFinished) this.#connection.destroy()
    this.#body?.end()
  }

  #onError(error: Error): void {
    // Whether the body of a response was whole at this point is for Node to say, by its end or its error.
    if (this.#body) this.#error = error
    else this.#end(this.#isStale(error) ? new StaleConnectionError(error.message, { cause: error }) : error)
  }

  /** Node is done with the connection. */
  #onClose(): void {
    if (this.#isOver) this.#connection.release()
    // The body of a response may still wait for its reader, and tells itself how it ended.
    else if (!this.#body) this.#end(new Error('The connection was closed.'))
  }

  /** Ends the request, and its connection with it. */
  #end(reason: Error): void {
    if (this.#isOver) return
    this.#letGo()
    this.#connection.destroy()
    this.#request?.destroy()
    if (this.#body) this.#body.end(reason)
    else this.#reject(reason)
  }

  #letGo(): void {
    this.#isOver = true
    clearTimeout(this.#connectTimer)
    this.#stopListening()
    // From now on the connection may be another request's.
    if (this.#init.signal) returnHold(this.#init.signal)
  }

  #isStale(error: Error): boolean {
    const { code = '' } = error as NodeJS.ErrnoException
    const isBroken = code === 'ECONNRESET' || code === 'EPIPE'
    const isSoon = performance.now() - this.#startedAtMs < staleMs
    return isBroken && isSoon && !this.#connection.isNew && !this.#connection.hasAnswered
  }

  #watchConnect(): void {
    const { connectMs = Infinity } = this.#init
    if (connectMs > maxTimerMs) return
    this.#connectTimer = setTimeout(() => {
      const message = `No connection to ${this.#url.host} within connectMs ${connectMs}.`
      this.#end(new ConvokeError('timeout', message, { phase: 'connect' }))
    }, connectMs)
  }
}

const isAscii = /^[\x20-\x7e\t]*$/

function forwardingHeaders(route: Route): Record<string, string> {
  return isForwarded(route) ? proxyHeaders(route.proxy) : {}
}

/** Node computes the length itself, but not for a DELETE, whose body would then break the request behind it. */
function lengthHeader(body: string | undefined): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
}

/** Whether the body comes event by event, by its content type. */
function isStream(response: IncomingMessage): boolean {
  return /event-stream|ndjson/.test(headerOf(response, 'content-type') ?? '')
}

/** The arguments that an SDK may pass to a fetch; `connectMs` and `proxy` are convoke's own. */
export interface HttpRequest {
  method?: string
  headers?: unknown
  body?: string | undefined
  signal?: AbortSignal | null
  /** Milliseconds until the socket is connected, TLS included. */
  connectMs?: number
  /** The proxy's address; `false` for none. @default that of the environment */
  proxy?: string | false | undefined
}

/** The headers of a request by their names in lower case. */
export type RequestHeaders = Readonly<Record<string, string>>
