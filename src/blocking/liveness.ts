/**
 * How a thread shows one that waits that it lives: it holds a file open, which the system closes when the thread ends,
 * however it ends. The file is its own program, which hardly anybody else opens: a descriptor's number is given again.
 */
import { fstatSync, openSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'
import { cells } from './protocol.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
/** The program of the blocking thread. */
export const threadFile = new URL(`../../workers/blocking.${extension}`, import.meta.url)

/** In the thread: its descriptor, and which file that is. Told in memory behind it, the descriptor last. */
export function announceLiveness(memory: Int32Array): void {
  const descriptor = openSync(fileToHold(), 'r')
  const { dev, ino } = fstatSync(descriptor)
  Atomics.store(memory, cells.pledgedDevice, dev)
  Atomics.store(memory, cells.pledgedFile, ino)
  Atomics.store(memory, cells.pledge, descriptor + 1)
}

/**
 * In the thread that waits: whether the descriptor is still the one that the other opened. Asked before each call;
 * nothing while it has yet to open it.
 */
export function isThreadAlive(memory: Int32Array): boolean | undefined {
  const pledged = Atomics.load(memory, cells.pledge)
  if (pledged === 0) return undefined
  try {
    const { dev, ino } = fstatSync(pledged - 1)
    return (
      Atomics.load(memory, cells.pledgedDevice) === (dev | 0) &&
      Atomics.load(memory, cells.pledgedFile) === (ino | 0)
    )
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
