/** A wait of any length, which a signal ends. */
import { onAbort } from './cancellation.ts'
import { maxTimerMs } from './deadline.ts'

/** Rejects with the signal's reason when that fires first. */
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
