/** Servers for the fault tests. They are closed with all their sockets after the test. */
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'

/** Answers one request after its body was read. */
export type Answer = (request: http.IncomingMessage, response: http.ServerResponse, body: string) => void

export interface Served extends AsyncDisposable {
  url: string
}

async function readAll(stream: Readable): Promise<string> {
  stream.setEncoding('utf8')
  let text = ''
  for await (const piece of stream) text += piece as string
  return text
}

/** Starts an HTTP server. `onRequest` is called when the headers have arrived, `answer` when the body has. */
export async function serve(
  answer: Answer,
  onRequest: (request: http.IncomingMessage, response: http.ServerResponse) => void = () => {},
): Promise<Served> {
  const server = http.createServer((request, response) => {
    response.on('error', () => {})
    onRequest(request, response)
    readAll(request).then(
      (body) => answer(request, response, body),
      () => {},
    )
  })
  const url = await listen(server)
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Starts a server of plain sockets. `answer` is called when a request has arrived completely. */
export async function serveRaw(answer: (socket: net.Socket, request: string) => void): Promise<Served> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let seen = ''
    socket.on('data', (bytes) => {
      seen += bytes.toString('latin1')
      const head = seen.indexOf('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(seen)?.[1] ?? 0)
      if (head < 0 || seen.length < head + 4 + length) return
      const request = seen
      seen = ''
      answer(socket, request)
    })
  })
  const url = await listen(server)
  return {
    url,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function listen(server: net.Server): Promise<string> {
  await once(server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }), 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
