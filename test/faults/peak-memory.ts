/** The peak memory of this process, also of moments at which its event loop was busy. */
import { readFileSync, writeFileSync } from 'node:fs'

/** Resets the peak. This works on Linux only; elsewhere the peak is that of the whole life of the process. */
export function resetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // This system is not Linux, or resetting is not allowed: the peak so far is included.
  }
}

/** The peak of resident bytes. */
export function peakBytes(): number {
  try {
    const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    if (kilobytes) return Number(kilobytes) * 1_024
  } catch {
    // This system is not Linux.
  }
  return process.resourceUsage().maxRSS * 1_024
}

export const megabytes = (bytes: number) => Math.round(bytes / 1_048_576)
