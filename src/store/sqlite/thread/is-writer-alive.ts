/** Tells whether the writer of a running turn still lives. */
import type { Writer } from '../../store.ts'
import { isOfThreads, processStart } from '../../../threads/writer-liveness.ts'
import type { StoreFile } from '../protocol.ts'

/**
 * False only for a writer that is known to be dead: its process on this host has ended, or its thread in this process has.
 * No clock decides. A writer on another host counts as alive, since its process cannot be seen from here.
 */
export function isWriterAlive({ id, pid, host, started }: Writer, file: StoreFile): boolean {
  const self = file.writer
  if (id === self.id || host !== self.host) return true
  if (pid === self.pid && started === self.started && isOfThreads(id, file.lostThreads)) return false
  try {
    process.kill(pid, 0)
    // Another process may have this id by now; after the restart of a container, even this process. A start that cannot be
    // read (this process may have too many files open) proves nothing.
    const found = processStart(pid)
    return started === '' || found === '' || started === found
  } catch (error) {
    // EPERM means a living process of another user.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
