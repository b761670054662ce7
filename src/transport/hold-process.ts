/**
 * Which requests keep the process alive. A file of its own, since the calls need it at once and the transport, with
 * undici's client behind it (30 ms), only at the first request.
 */
import type { Socket } from 'node:net'

/** The sockets of requests in flight, by the signal that ends them. */
const sockets = new WeakMap<AbortSignal, Socket>()

/** A request has this socket to itself. */
export function lendSocket(signal: AbortSignal, socket: Socket): void {
  sockets.set(signal, socket)
}

/** The request is over: the socket is another's, and holds the process as sockets in use do. */
export function returnSocket(signal: AbortSignal): void {
  sockets.get(signal)?.ref()
  sockets.delete(signal)
}

/** Says whether the request of this signal keeps the process alive: not while nobody waits for it. */
export function holdProcess(signal: AbortSignal, holds: boolean): void {
  const socket = sockets.get(signal)
  if (holds) socket?.ref()
  else socket?.unref()
}
