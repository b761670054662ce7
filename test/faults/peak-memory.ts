/** The most memory that this process has held at any moment, also while its event loop was busy. */
import { readFileSync, writeFileSync } from 'node:fs'

/** Linux only, as the other figures of the campaigns are; elsewhere the peak of the whole life of the process. */
export function resetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // Not Linux, or not allowed: the peak so far stays in the figure.
  }
}

/** Resident bytes at the highest. */
export function peakBytes(): number {
  try {
    const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    if (kilobytes) return Number(kilobytes) * 1_024
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1_024
}

export const megabytes = (bytes: number) => Math.round(bytes / 1_048_576)
