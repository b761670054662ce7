/** Opens the file of a store: checks it before anything is changed, creates it privately, and sets SQLite's safeguards. */
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  linkSync,
  lstatSync,
  openSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import SQLite from 'better-sqlite3'
import type { Database } from 'better-sqlite3'
import { ConvokeError } from '../../../errors.ts'
import type { StoreFile } from '../protocol.ts'
import { fileHeader, firstBytes } from './file-header.ts'
import type { FileHeader } from './file-header.ts'
import { applicationId, migrate, schemaVersion } from './migrations.ts'
import { isBusyError } from './store-error.ts'

/** The Node-API version that better-sqlite3 13 needs. A Node with an older one (22.12, 22.13) crashes when it is loaded. */
const leastNodeApi = 10

/** @throws ConvokeError when the path or the file cannot be used; the file was not changed then */
export function openDatabase({ path, durability, busyTimeoutMs, wasOpened }: StoreFile): Database {
  if (Number(process.versions.napi) < leastNodeApi) {
    const message = `[store ${path}] Conversations need Node 22.14 or newer, for SQLite; this is Node ${process.versions.node}. Update Node. Calls and streams work on this one.`
    throw new ConvokeError('unsupported_runtime', message)
  }
  checkPath(path, wasOpened)
  const database = new SQLite(path, { timeout: busyTimeoutMs })
  try {
    checkContent(path)
    prepare(database, path, busyTimeoutMs)
    database.pragma('foreign_keys = ON')
    database.pragma(`synchronous = ${durability === 'full' ? 'FULL' : 'NORMAL'}`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function refuse(path: string, what: string, code: 'store_failed' | 'store_corrupt' = 'store_failed'): never {
  throw new ConvokeError(code, `[store ${path.replaceAll('\0', '\\0')}] ${what}`)
}

function checkPath(path: string, wasOpened: boolean): void {
  if (path.includes('\0'))
    refuse(path, 'The path has a NUL character. Remove it: the system would cut the name there.')
  if (path.trim() !== path)
    refuse(path, 'The path begins or ends with white space, such as a line break. Remove it.')
  const folder = dirname(path)
  const folderStats = statOf(folder)
  if (!folderStats) refuse(path, `There is no folder ${folder}. Create it, or name another file.`)
  if (!folderStats.isDirectory()) refuse(path, `${folder} is not a folder. Name a file in a folder.`)
  // SQLite writes two further files beside the database. In a read-only folder it cannot even read.
  if (!isAllowed(folder, constants.W_OK | constants.X_OK))
    refuse(path, `The folder ${folder} is not writable. Change its permissions, or name another file.`)
  const found = statOf(path)
  if (found) checkFile(path, found)
  else if (wasOpened)
    refuse(path, 'The file was moved or deleted while in use. Put it back, or open a new store.')
  else createFile(path)
}

/** The path of the log. SQLite keeps it beside the file to which a link leads. */
function logOf(path: string): string {
  return `${realpathSync(path)}-wal`
}

function checkFile(path: string, found: Stats): void {
  if (found.isDirectory()) refuse(path, 'This is a folder. Name a file in it.')
  if (!found.isFile()) refuse(path, 'This is not a regular file. Name another one.')
  if (!isAllowed(path, constants.R_OK | constants.W_OK))
    refuse(path, 'The file is not readable and writable. Change its permissions, or name another file.')
  // SQLite takes an empty file for a new database, and would delete the log, which still has the conversations. The file's
  // size is read again, since another process may just have begun both.
  if (found.size === 0 && (statOf(logOf(path))?.size ?? 0) > 0 && statOf(path)?.size === 0)
    refuse(
      path,
      'The file is empty, but its log (-wal) is not. Restore a backup, or name another file.',
      'store_corrupt',
    )
}

/** Checks the file while the connection has read nothing yet: closing it then changes nothing. */
function checkContent(path: string): void {
  if (statOf(path)?.size === 0) return
  const bytes = firstBytes(path)
  if (!bytes) return
  const header = fileHeader(bytes, logOf(path))
  if (!header)
    refuse(path, 'The file is not a SQLite database. It was not changed: name another file.', 'store_corrupt')
  checkHeader(path, header)
}

/** Creates the file with mode 0600. SQLite would use the umask, and give its -wal and -shm the same mode. */
function createFile(path: string): void {
  // The file is looked for again, here and below, since another process may create it meanwhile.
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() && !statOf(path))
    refuse(path, 'This is a link to a file that does not exist. Name a file.')
  // SQLite would take the log for another database's, and delete it.
  if ((statOf(`${path}-wal`)?.size ?? 0) > 0 && !statOf(path))
    refuse(
      path,
      `The file is missing, but its log ${path}-wal is there. Put the file back, or move the -wal away.`,
      'store_corrupt',
    )
  // The file is created and closed under another name. Closing it under its own would drop all locks that this process has
  // on it, also those of another thread that has opened it by then. See `firstBytes`.
  const temporary = join(dirname(path), `.convoke-${randomUUID()}`)
  try {
    makePrivate(temporary)
    linkSync(temporary, path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Another process was faster.
    if (code === 'EEXIST') return
    // Some file systems have no hard links.
    if (!existsSync(temporary)) throw error
    makePrivate(path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function makePrivate(path: string): void {
  try {
    const file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600)
    // The umask may have removed permissions of the owner.
    fchmodSync(file, 0o600)
    closeSync(file)
  } catch (error) {
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

function isAllowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

function checkHeader(path: string, { owner, version, isEmpty }: FileHeader): void {
  if (owner !== applicationId && (owner !== 0 || version !== 0 || !isEmpty))
    refuse(path, 'The file is the database of another program. Name another file.')
  if (version > schemaVersion)
    refuse(
      path,
      `The file has schema ${version}, and this version of convoke knows ${schemaVersion}. Update convoke; the file was not changed.`,
    )
}

/** Checks the header again, now through SQLite's own checks and with all that other processes did since; then writes. */
function prepare(database: Database, path: string, busyTimeoutMs: number): void {
  const header = headerOf(database)
  checkHeader(path, header)
  const mode = database.pragma('journal_mode', { simple: true })
  if (mode !== 'wal') untilFree(busyTimeoutMs, () => database.pragma('journal_mode = WAL'))
  if (header.version === schemaVersion) return
  untilFree(busyTimeoutMs, () => {
    database.exec('BEGIN IMMEDIATE')
    try {
      // Checked again inside the transaction: another process may have been faster, also a newer version or another program.
      checkHeader(path, headerOf(database))
      migrate(database)
      database.exec('COMMIT')
    } finally {
      if (database.inTransaction) database.exec('ROLLBACK')
    }
  })
}

/**
 * All values are read by one statement. Otherwise a process that creates the tables meanwhile would be taken for another
 * program.
 */
function headerOf(database: Database): FileHeader {
  const sql = `SELECT (SELECT count(*) FROM sqlite_schema) AS tables, application_id AS owner, user_version AS version
    FROM pragma_application_id, pragma_user_version`
  const { tables, ...header } = database.prepare(sql).get() as Omit<FileHeader, 'isEmpty'> & {
    tables: number
  }
  return { ...header, isEmpty: tables === 0 }
}

/** Repeats a step while the database is locked. SQLite itself does not wait where two processes switch a new file to WAL. */
function untilFree(busyTimeoutMs: number, step: () => unknown): void {
  const until = performance.now() + busyTimeoutMs
  for (;;) {
    try {
      step()
      return
    } catch (error) {
      if (!isBusyError(error) || performance.now() > until) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 + Math.random() * 20)
    }
  }
}
