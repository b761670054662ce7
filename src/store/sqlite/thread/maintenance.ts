/** Backups, unused space, and whether all is well. */
import type { StoreJob } from '../protocol.ts'
import type { StoreCheck } from '../../store.ts'
import type { Connection } from './connection.ts'

/** Pages copied before another task of the thread gets its turn. */
const backupPages = 256
/** SQLite copies from the beginning again each time that another process has written. So often is enough. */
const maxRestarts = 3

type State = 'running' | 'done' | { error: unknown }
const backups = new Map<string, State>()

/**
 * Copies the store into a file that the caller made, between the other tasks of the thread. Asked again and again, it
 * says when it is done; a thread that does not know of it begins anew. What was given up says nothing of another one to
 * the same path.
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
  database.backup(path, { progress: paces() }).then(
    () => backups.set(id, 'done'),
    (error: unknown) => backups.set(id, { error }),
  )
  return 'running'
}

/** Past the restarts all that is left goes at once: other tasks wait that long, but it ends. */
function paces(): (progress: { remainingPages: number }) => number {
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
