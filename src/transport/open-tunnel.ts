import type http from 'node:http'
import type { Socket } from 'node:net'
import { ConvokeError } from '../errors.ts'
import { proxyHeaders } from './proxy.ts'

/**
 * Opens a tunnel through a proxy to the target by the method CONNECT.
 *
 * @param follow is told of the tunnel's socket as soon as it exists, so that it can be closed early
 * @throws ConvokeError `connection` when the proxy refuses
 */
export function openTunnel(proxy: URL, target: URL, follow: (socket: Socket) => void): Promise<Socket> {
  const address = `${target.hostname}:${target.port || 443}`
  return new Promise((resolve, reject) => {
    const request = requestTunnel(proxy, address)
    request.once('socket', follow)
    request.once('error', reject)
    request.once('connect', (response, socket: Socket, head: Buffer) => {
      if (head.length > 0) socket.unshift(head)
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    // Some proxies answer CONNECT by a page.
    request.once('response', (response) => {
      request.destroy()
      reject(refusal(proxy, address, response.statusCode ?? 0))
    })
    request.end()
  })
}

function requestTunnel(proxy: URL, address: string): http.ClientRequest {
  const isSecure = proxy.protocol === 'https:'
  const { request } = isSecure
    ? process.getBuiltinModule('node:https')
    : process.getBuiltinModule('node:http')
  return request({
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (isSecure ? 443 : 80),
    method: 'CONNECT',
    path: address,
    agent: false,
    headers: { host: address, ...proxyHeaders(proxy) },
  })
}

function refusal(proxy: URL, address: string, status: number): ConvokeError {
  const remedy = status === 407 ? ' Put a user and a password into its address.' : ''
  return new ConvokeError(
    'connection',
    `The proxy ${proxy.host} opened no tunnel to ${address}: status ${status}.${remedy}`,
  )
}
