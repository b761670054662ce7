/**
 * How a thread shows one that waits that it lives: it holds a file open, which the system closes when the thread ends,
 * however it ends. The file is its own program, which hardly anybody else opens: a descriptor's number is given again.
 */
import { fstatSync, openSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
/** The program of the blocking thread. */
export const threadFile = new URL(`../../workers/blocking.${extension}`, import.meta.url)

/** In the thread. @returns the descriptor */
export function pledge(): number {
  return openSync(fileToHold(), 'r')
}

let held: { dev: number; ino: number } | undefined

/** In the thread that waits: whether this is still the descriptor that the other one opened. Asked before each call. */
export function isKept(descriptor: number): boolean {
  try {
    held ??= statSync(fileToHold())
    const { dev, ino } = fstatSync(descriptor)
    return dev === held.dev && ino === held.ino
  } catch {
    return false
  }
}

/** A program inside of an archive is no file. */
function fileToHold(): string {
  try {
    const path = fileURLToPath(threadFile)
    return statSync(path).isFile() ? path : devNull
  } catch {
    return devNull
  }
}
