/** Waits for any length of time, or until a signal fires. */
import { onAbort } from './cancellation.ts'
import { maxTimerMs } from './deadline.ts'

/**
 * Resolves after so many milliseconds. Delays beyond what a timer holds (about 25 days) are waited for in several
 * steps.
 * @throws the signal's reason when it fires first, or has fired already
 */
export function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout
    const wait = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, maxTimerMs)
      timer = setTimeout(() => (leftMs > stepMs ? wait(leftMs - stepMs) : end()), stepMs)
    }
    const end = () => {
      stop()
      resolve()
    }
    wait(delayMs)
    const stop = onAbort(signal, (reason) => {
      clearTimeout(timer)
      reject(reason as Error)
    })
  })
}
