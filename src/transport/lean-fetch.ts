/**
 * A fetch on `node:http` without Request, Response or web streams: half of a vendor call's CPU is the global fetch
 * (test/bench has the figures). It takes what the vendors' SDKs send, gives what they read, and hands the body to
 * convoke as a Node stream.
 */
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream'
import zlib from 'node:zlib'
import { ConvokeError } from '../errors.ts'
import { lendSocket, returnSocket } from './hold.ts'
import { headerPairs, isSecretHeader } from './secrets.ts'

/** What an SDK may pass; `connectMs` is convoke's own. */
export interface LeanRequest {
  method?: string
  headers?: unknown
  body?: unknown
  signal?: AbortSignal | null
  /** Milliseconds until the socket is connected, TLS included. */
  connectMs?: number
}

const redirects = 5

/** The part of a Response that the SDKs read, and the body as a Node stream. */
export class LeanResponse {
  readonly status: number
  readonly statusText: string
  readonly url: string
  readonly redirected = false
  readonly type = 'basic'
  /** The body's bytes, decompressed. Reading it is the caller's duty; `destroy()` closes the socket. */
  readonly stream: Readable
  readonly #rawHeaders: string[]
  #headers: Headers | undefined

  constructor(message: http.IncomingMessage, stream: Readable, url: string) {
    this.status = message.statusCode ?? 0
    this.statusText = message.statusMessage ?? ''
    this.url = url
    this.stream = stream
    this.#rawHeaders = message.rawHeaders
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }

  get headers(): Headers {
    if (!this.#headers) {
      this.#headers = new Headers()
      for (let at = 0; at + 1 < this.#rawHeaders.length; at += 2) {
        this.#headers.append(this.#rawHeaders[at] as string, this.#rawHeaders[at + 1] as string)
      }
    }
    return this.#headers
  }

  async text(): Promise<string> {
    this.stream.setEncoding('utf8')
    let text = ''
    for await (const piece of this.stream) text += piece as string
    return text
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }
}

/** Sends one request. Rejects with a ConvokeError `timeout` (connect), the signal's reason, or Node's own error. */
export async function leanFetch(input: string | URL, init: LeanRequest = {}): Promise<LeanResponse> {
  let url = new URL(input)
  const headers = plainHeaders(init.headers)
  for (let hop = 0; ; hop++) {
    const response = await send(url, init, headers)
    const location = redirectOf(response, init.method ?? 'GET')
    if (!location || hop === redirects) return response
    response.stream.resume()
    const next = new URL(location, url)
    if (next.origin !== url.origin) {
      for (const name of Object.keys(headers)) if (isSecretHeader(name)) delete headers[name]
    }
    url = next
  }
}

/** A reused socket broke before a byte of the response: the server had most likely closed it already. */
export class StaleSocket extends Error {}

function send(url: URL, init: LeanRequest, headers: Record<string, string>): Promise<LeanResponse> {
  return new Promise((resolve, reject) => {
    const signal = init.signal ?? undefined
    if (signal?.aborted) return reject(signal.reason as Error)
    const body = init.body as string | Uint8Array | undefined
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method: init.method ?? 'GET',
      agent: agentFor(url),
      headers:
        body === undefined || body === null
          ? headers
          : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    })
    const stopClock = watchConnect(request, url, init.connectMs)
    const onAbort = () => request.destroy(signal?.reason as Error)
    signal?.addEventListener('abort', onAbort, { once: true })
    const release = () => {
      stopClock()
      signal?.removeEventListener('abort', onAbort)
    }
    request.once('error', (error: NodeJS.ErrnoException) => {
      release()
      const isStale = request.reusedSocket && /^(ECONNRESET|EPIPE)$/.test(error.code ?? '')
      const failure = isStale ? new StaleSocket(error.message, { cause: error }) : error
      reject(signal?.aborted ? (signal.reason as Error) : failure)
    })
    request.once('upgrade', (message, socket) => {
      socket.destroy()
      release()
      reject(
        new Error(`The server answered with an upgrade to ${message.headers.upgrade ?? 'another protocol'}.`),
      )
    })
    request.once('response', (message) => {
      stopClock()
      if (signal) {
        lendSocket(signal, message.socket)
        // From the message's end on the socket is the pool's, or another request's.
        message.once('end', () => returnSocket(signal))
      }
      const stream = decompressed(message)
      // An abort after the headers ends the body with the signal's reason, and the socket with it.
      signal?.removeEventListener('abort', onAbort)
      const onLateAbort = () => {
        stream.destroy(signal?.reason as Error)
        message.destroy()
      }
      signal?.addEventListener('abort', onLateAbort, { once: true })
      finished(stream, () => signal?.removeEventListener('abort', onLateAbort))
      resolve(new LeanResponse(message, stream, url.href))
    })
    request.end(body ?? undefined)
  })
}

/** Ends the request when no connection stands in time. A reused socket has none to wait for. */
function watchConnect(request: http.ClientRequest, url: URL, connectMs = Infinity): () => void {
  if (connectMs === Infinity) return () => {}
  const timer = setTimeout(() => {
    request.destroy(
      new ConvokeError('timeout', `No connection to ${url.host} within connectMs ${connectMs}.`, {
        phase: 'connect',
      }),
    )
  }, connectMs)
  const event = url.protocol === 'https:' ? 'secureConnect' : 'connect'
  let connecting: Socket | undefined
  const stop = () => {
    clearTimeout(timer)
    // A socket that still connects goes to the next request when this one is cancelled.
    connecting?.removeListener(event, stop)
  }
  request.once('socket', (socket) => {
    if (!socket.connecting) return stop()
    connecting = socket.once(event, stop)
  })
  return stop
}

function decompressed(message: http.IncomingMessage): Readable {
  const encoding = message.headers['content-encoding']?.toLowerCase() ?? 'identity'
  const decoder =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? zlib.createGunzip()
      : encoding === 'deflate'
        ? zlib.createInflate()
        : encoding === 'br'
          ? zlib.createBrotliDecompress()
          : undefined
  if (!decoder) return message
  message.on('error', (error) => decoder.destroy(error))
  message.on('aborted', () => decoder.destroy(new Error('aborted')))
  decoder.on('close', () => message.destroy())
  return message.pipe(decoder)
}

function redirectOf(response: LeanResponse, method: string): string | undefined {
  const { status } = response
  const keepsMethod = status === 307 || status === 308
  const mayFollow = keepsMethod || ((status === 301 || status === 302 || status === 303) && method === 'GET')
  return mayFollow ? (response.headers.get('location') ?? undefined) : undefined
}

function plainHeaders(given: unknown): Record<string, string> {
  // A compressor holds text of a stream back; vendors send plain bytes when asked.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  for (const [name, value] of headerPairs(given)) {
    if (value !== undefined && value !== null) headers[name.toLowerCase()] = String(value)
  }
  return headers
}

const agents = new Map<string, http.Agent | https.Agent>()

/**
 * One keep-alive Agent per protocol for the whole process: sockets are shared between LLMs of one origin, idle ones
 * never hold the process. `HTTPS_PROXY` and its kin are honoured where Node's Agent can (24.5 and newer), but never on
 * the way to this machine itself.
 */
function agentFor(url: URL): http.Agent | https.Agent {
  const isLocal = /^(localhost|127\.[\d.]+|\[::1\])$/.test(url.hostname)
  const name = `${url.protocol}${isLocal ? 'local' : ''}`
  let agent = agents.get(name)
  if (!agent) {
    const options = {
      keepAlive: true,
      maxFreeSockets: 1_024,
      scheduling: 'lifo' as const,
      ...(isLocal ? {} : { proxyEnv: process.env }),
    }
    agent = url.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options)
    agents.set(name, agent)
  }
  return agent
}
