/** Listening to a signal and letting go of it again, in the one place that does so. */

/**
 * Calls the listener once, when the signal fires; at once if it has fired already.
 *
 * @returns stops listening. A signal may outlive thousands of calls, so each of them has to let go of it.
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

/** What the work gives, or the signal's reason if that fires first: for work that does not listen to the signal. */
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
