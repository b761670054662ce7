/**
 * Which requests keep the process alive. The calls need this at once, and the transport only at the first request, so
 * that it is a file of its own.
 */

/** The handle by which a request in flight keeps the process alive. */
export interface ProcessHold {
  ref(): void
  unref(): void
}

/** The connections of requests in flight, by the signal that ends them. */
const holds = new WeakMap<AbortSignal, ProcessHold>()

/** A request has this connection to itself. */
export function lendHold(signal: AbortSignal, hold: ProcessHold): void {
  holds.set(signal, hold)
}

/** The request is over: the connection may be another's, and holds the process as connections in use do. */
export function returnHold(signal: AbortSignal): void {
  holds.get(signal)?.ref()
  holds.delete(signal)
}

/** Says whether the request of this signal keeps the process alive. It does not while nobody waits for it. */
export function holdProcess(signal: AbortSignal, isHeld: boolean): void {
  const hold = holds.get(signal)
  if (isHeld) hold?.ref()
  else hold?.unref()
}
