/** Maintenance of the file: backups, unused space, and a check for damage. */
import type { StoreJob } from '../protocol.ts'
import type { StoreCheck } from '../../store.ts'
import type { Connection } from './connection.ts'

/** Pages that a backup copies before the thread's next task gets its turn. */
const backupPages = 256
/** SQLite begins a backup again each time that another process has written. After so many times the rest goes at once. */
const maxRestarts = 3

type BackupState = 'running' | 'done' | { error: unknown }
/** Backups by the ids of their jobs. */
const backups = new Map<string, BackupState>()

/**
 * Copies the store into a file that the caller created, between the thread's other tasks. The job is sent again and again
 * until it is done. A new thread, which does not know the job's id, begins the backup again. The id is not the path, so
 * that a backup that was given up does not answer for a later one to the same path.
 */
export function backup(
  { database }: Connection,
  { id, path }: Extract<StoreJob, { kind: 'backup' }>,
): 'running' | 'done' {
  const state = backups.get(id)
  if (state === 'running') return state
  if (state !== undefined) {
    backups.delete(id)
    if (typeof state === 'object') throw state.error
    return state
  }
  backups.set(id, 'running')
  database.backup(path, { progress: pace() }).then(
    () => backups.set(id, 'done'),
    (error: unknown) => backups.set(id, { error }),
  )
  return 'running'
}

/** After too many restarts all pages that are left go at once. Other tasks wait that long, but the backup ends. */
function pace(): (progress: { remainingPages: number }) => number {
  let last = Infinity
  let restarts = 0
  return ({ remainingPages }) => {
    if (remainingPages >= last) restarts++
    last = remainingPages
    return restarts < maxRestarts ? backupPages : Number.MAX_SAFE_INTEGER
  }
}

export function vacuum({ database }: Connection): null {
  database.exec('VACUUM')
  // The file shrinks only when its log has been moved into it.
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
    problems.push(`Row ${row.rowid} of ${row.table} refers to a row of ${row.parent} that does not exist`)
  try {
    // Rank 1 has FTS5 compare the index with the messages, too.
    database.exec(`INSERT INTO message_index (message_index, rank) VALUES ('integrity-check', 1)`)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'SQLITE_CORRUPT_VTAB') throw error
    problems.push(`The search index does not match the messages: ${(error as Error).message}`)
  }
  return { isOk: problems.length === 0, problems }
}
