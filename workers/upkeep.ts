/** Backups, unused space, and whether all is well. */
import { closeSync, constants, fchmodSync, openSync, rmSync } from 'node:fs'
import { ConvokeError } from '../src/errors.ts'
import type { StoreCheck } from '../src/store/store.ts'
import type { Connection } from './connection.ts'

/** Pages copied before other tasks of the thread get their turn. */
const backupPages = 256

/** @throws ConvokeError `store_failed` when there is a file already */
export async function backup({ database, file }: Connection, path: string): Promise<null> {
  claim(path, file.path)
  try {
    await database.backup(path, { progress: () => backupPages })
    return null
  } catch (error) {
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(path + end, { force: true })
    throw error
  }
}

function claim(path: string, from: string): void {
  const fail = (what: string) => {
    throw new ConvokeError('store_failed', `[store ${from}] ${what}`)
  }
  if (path.includes('\0') || path.trim() !== path) fail('The path of the backup is unusable. Name a file.')
  try {
    const target = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600)
    fchmodSync(target, 0o600)
    closeSync(target)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') fail(`The backup ${path} exists already. Name a new file.`)
    if (code === 'ENOENT' || code === 'ENOTDIR') fail(`The backup ${path} has no folder. Make it first.`)
    throw error
  }
}

export function vacuum({ database }: Connection): null {
  database.exec('VACUUM')
  // The file shrinks only when its log is back in it.
  database.pragma('wal_checkpoint(TRUNCATE)')
  return null
}

export function check(connection: Connection): StoreCheck {
  const { database } = connection
  const problems = connection
    .all<{ integrity_check: string }>('PRAGMA integrity_check(100)')
    .map(({ integrity_check }) => integrity_check)
    .filter((line) => line !== 'ok')
  for (const row of database.pragma('foreign_key_check') as {
    table: string
    rowid: number
    parent: string
  }[])
    problems.push(`Row ${row.rowid} of ${row.table} names a row of ${row.parent} that is gone`)
  try {
    // By rank 1 the index is compared with the messages, too.
    database.exec(`INSERT INTO message_index (message_index, rank) VALUES ('integrity-check', 1)`)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'SQLITE_CORRUPT_VTAB') throw error
    problems.push(`The search index does not fit the messages: ${(error as Error).message}`)
  }
  return { isOk: problems.length === 0, problems }
}
