/** Files that this process creates for stores: temporary databases, and backups. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConvokeError } from '../../errors.ts'

const temporaryPaths = new Set<string>()
let isWatching = false

/** A path for a temporary store. Its name has the process id: files of a crashed process may be deleted by hand. */
export function temporaryPath(): string {
  if (!isWatching) process.on('exit', () => [...temporaryPaths].forEach(removeTemporary))
  isWatching = true
  const path = join(tmpdir(), `convoke-${process.pid}-${randomUUID()}.db`)
  temporaryPaths.add(path)
  return path
}

/** Deletes a temporary store with its log files. */
export function removeTemporary(path: string): void {
  temporaryPaths.delete(path)
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
}

/**
 * Creates the file of a backup, private and empty.
 * @throws ConvokeError `store_failed` when the path is taken or cannot be used
 */
export async function claimBackup(path: string, store: string): Promise<void> {
  const fail = (what: string, cause?: unknown): never => {
    throw new ConvokeError('store_failed', `[store ${store}] ${what}`, { cause })
  }
  if (path.includes('\0')) fail('The path of the backup has a NUL character. Remove it.')
  if (path.trim() !== path) fail(`The path of the backup ${path} begins or ends with white space. Remove it.`)
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      // The umask may have removed permissions of the owner.
      await file.chmod(0o600)
    } finally {
      await file.close()
    }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST') fail(`The backup ${path} exists already. Name a new file.`, cause)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      fail(`The backup ${path} has no folder. Create the folder first.`, cause)
    fail(`The backup ${path} cannot be created: ${message}. Name another file.`, cause)
  }
}
