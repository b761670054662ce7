/**
 * A server in a process of its own that closes kept-alive connections without notice. The path of the base URL says
 * how. It counts its answers by the number of the call, which is in the prompt.
 */
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { tell } from './fork-module.ts'
import { plainOf, streamOf, streams, understand } from './vendors.ts'

/** The fate of the requests since the last question. */
let state = newState()

function newState() {
  return {
    /** Requests that arrived completely. */
    requests: 0,
    /** Sockets that were reset before the first byte of the response. */
    resets: 0,
    /** Sockets that the server closed after a second without requests. */
    idleCloses: 0,
    sockets: 0,
    /** How often a response was begun, by call. */
    answered: {} as Record<string, number>,
  }
}

/** The responses on each socket. From the second response on, the socket is reused. */
const uses = new WeakMap<Socket, number>()

function answer(request: http.IncomingMessage, response: http.ServerResponse, body: string): void {
  const { vendor, isStream } = understand(request.url ?? '', body)
  const [, mode = ''] = (request.url ?? '').split('/')
  const call = /call (\d+)/.exec(body)?.[1] ?? ''
  const { socket } = request
  const use = (uses.get(socket) ?? 0) + 1
  uses.set(socket, use)
  state.requests++
  if (mode === 'reset-on-reuse' && use > 1) {
    state.resets++
    return void socket.resetAndDestroy()
  }
  state.answered[call] = (state.answered[call] ?? 0) + 1
  if (mode === 'byte-and-reset-on-reuse' && use > 1) {
    state.resets++
    return void socket.write('HTTP/1.1 200 OK\r\n', () => setTimeout(() => socket.resetAndDestroy(), 5))
  }
  response.setHeader('content-type', isStream ? streams[vendor].contentType : 'application/json')
  // Set by hand, because Node would add the keep-alive time, which the client must not know here.
  response.setHeader('connection', 'keep-alive')
  response.end(isStream ? streamOf(vendor, ['Fi', 'ne.']) : plainOf(vendor, 'Fine.'))
}

const server = http.createServer((request, response) => {
  let body = ''
  response.on('error', () => {})
  request.setEncoding('utf8').on('data', (piece: string) => (body += piece))
  request.on('end', () => answer(request, response, body))
})
server.keepAliveTimeout = 1_000
Object.assign(server, { keepAliveTimeoutBuffer: 0 })
server.on('connection', () => state.sockets++)
server.on('timeout', (socket: Socket) => {
  state.idleCloses++
  socket.destroy()
})
server.listen(0, '127.0.0.1', () =>
  tell({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
)
process.on('message', () => {
  tell(state)
  state = newState()
})
process.on('disconnect', () => process.exit())
