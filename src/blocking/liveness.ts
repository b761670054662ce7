/**
 * Shows a thread that waits whether the blocking thread still lives. A waiting thread gets no event, so the blocking
 * thread holds a file open, and the system closes the file when that thread ends, however it ends. The file is the
 * thread's own program, which hardly any other code opens: the system reuses descriptor numbers, and the number alone
 * could soon belong to another file.
 */
import { fstatSync, openSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'
import { cells } from './protocol.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
/** The program of the blocking thread. */
export const threadFile = new URL(`../../workers/blocking.${extension}`, import.meta.url)

/** In the blocking thread: opens the file, and writes the descriptor and the file's identity into the shared memory. */
export function announceLiveness(memory: Int32Array): void {
  const descriptor = openSync(fileToHold(), 'r')
  const { dev, ino } = fstatSync(descriptor)
  Atomics.store(memory, cells.livenessDevice, dev)
  Atomics.store(memory, cells.livenessInode, ino)
  // The descriptor is written last: whoever reads it finds the other two cells filled.
  Atomics.store(memory, cells.livenessDescriptor, descriptor + 1)
}

/** In the waiting thread: whether the blocking thread has announced its descriptor. */
export function hasAnnouncedLiveness(memory: Int32Array): boolean {
  return Atomics.load(memory, cells.livenessDescriptor) > 0
}

/**
 * In the waiting thread: whether the descriptor still belongs to the file that the blocking thread opened. This is asked
 * before each call. It is undefined until the thread has opened the file.
 */
export function isThreadAlive(memory: Int32Array): boolean | undefined {
  if (!hasAnnouncedLiveness(memory)) return undefined
  try {
    const { dev, ino } = fstatSync(Atomics.load(memory, cells.livenessDescriptor) - 1)
    return (
      Atomics.load(memory, cells.livenessDevice) === (dev | 0) &&
      Atomics.load(memory, cells.livenessInode) === (ino | 0)
    )
  } catch {
    return false
  }
}

/** The program; the null device where the program is inside an archive, and so is not a file of its own. */
function fileToHold(): string {
  try {
    const path = fileURLToPath(threadFile)
    return statSync(path).isFile() ? path : devNull
  } catch {
    return devNull
  }
}
