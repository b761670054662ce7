/** Listens to abort signals for all other rooms, so that no listener is left behind. */

/**
 * Calls the listener once with the signal's reason: when the signal fires, or at once if it has fired already. Without
 * a signal it does nothing.
 *
 * @returns a function that removes the listener. One signal may outlive thousands of calls, so every call has to remove
 * its own; calling it twice, or after the signal fired, does no harm.
 */
export function onAbort(signal: AbortSignal | undefined, listener: (reason: unknown) => void): () => void {
  if (!signal) return () => {}
  const listen = () => listener(signal.reason)
  if (signal.aborted) {
    listen()
    return () => {}
  }
  signal.addEventListener('abort', listen, { once: true })
  return () => signal.removeEventListener('abort', listen)
}

/**
 * Settles as the work does, but rejects with the signal's reason if the signal fires first. For work that cannot listen
 * to a signal itself; the work goes on, and its result is dropped.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: PromiseLike<T>): Promise<T> {
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = onAbort(signal, reject)
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    stop()
  }
}
