/** When a process was started, so that it is not taken for another that got its id later. */
import { readFileSync } from 'node:fs'

/**
 * In the system's own count (Linux: clock ticks since the boot, field 22 of /proc/<pid>/stat, with the boot's id); '' where
 * the system does not say, or has no such process. Source: proc(5).
 */
export function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program, in parentheses, may hold anything.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    return `${ticks} ${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}`
  } catch {
    return ''
  }
}

let own: string | undefined

/** Of this process: read once. */
export function ownStart(): string {
  return (own ??= processStart(process.pid))
}
