/** Opens the file of a store: checks before anything is touched, private files, the settings that keep it safe. */
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

/** What better-sqlite3 13 is built on; a Node with an older one (22.12, 22.13) ends by a segmentation fault. */
const leastNodeApi = 10

/** @throws ConvokeError when the path or the file is unfit; the file is then as it was */
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
    refuse(path, 'The path has a NUL character. Leave it out: the system would cut the name there.')
  if (path.trim() !== path)
    refuse(path, 'The path ends in a space or a line break. Name the file without it.')
  const folder = dirname(path)
  const place = statOf(folder)
  if (!place) refuse(path, `There is no folder ${folder}. Make it, or name another file.`)
  if (!place.isDirectory()) refuse(path, `${folder} is no folder. Name a file inside of a folder.`)
  // SQLite writes two further files beside the database; a folder that is read-only refuses even its reading.
  if (!isAllowed(folder, constants.W_OK | constants.X_OK))
    refuse(path, `The folder ${folder} may not be written. Change its permissions, or name another file.`)
  const found = statOf(path)
  if (found) checkFile(path, found)
  else if (wasOpened)
    refuse(path, 'The file was moved or deleted while in use. Put it back, or open a new store.')
  else createFile(path)
}

/** SQLite keeps the log beside the file that a link leads to. */
function logOf(path: string): string {
  return `${realpathSync(path)}-wal`
}

function checkFile(path: string, found: Stats): void {
  if (found.isDirectory()) refuse(path, 'This is a folder. Name a file inside of it.')
  if (!found.isFile()) refuse(path, 'This is no ordinary file. Name another one.')
  if (!isAllowed(path, constants.R_OK | constants.W_OK))
    refuse(path, 'The file may not be read and written. Change its permissions, or name another file.')
  // SQLite takes an empty file for a new database, and would drop the log that still has the conversations. Asked again:
  // another process may have begun both since.
  if (found.size === 0 && (statOf(logOf(path))?.size ?? 0) > 0 && statOf(path)?.size === 0)
    refuse(
      path,
      'The file was cut to nothing, but its -wal is there. Restore a backup, or name another file.',
      'store_corrupt',
    )
}

/** By a connection that has read nothing yet: its closing changes nothing. */
function checkContent(path: string): void {
  if (statOf(path)?.size === 0) return
  const bytes = firstBytes(path)
  if (!bytes) return
  const header = fileHeader(bytes, logOf(path))
  if (!header)
    refuse(path, 'The file is no SQLite database. It was left as it is: name another file.', 'store_corrupt')
  checkHeader(path, header)
}

/** Private from the first moment: SQLite would make it as the umask says, and its -wal and -shm like it. */
function createFile(path: string): void {
  // Asked again, here and below: another process may be faster.
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() && !statOf(path))
    refuse(path, 'This is a link to a file that is not there. Name a file.')
  // SQLite would take the log for that of another database, and delete it.
  if ((statOf(`${path}-wal`)?.size ?? 0) > 0 && !statOf(path))
    refuse(
      path,
      `The file is not there, but its log ${path}-wal is. Put the file back, or move the -wal away.`,
      'store_corrupt',
    )
  // Made and closed under another name: to close a file takes from it the locks of the whole process, those that another
  // thread has by then as well. See `firstBytes`.
  const other = join(dirname(path), `.convoke-${randomUUID()}`)
  try {
    makePrivate(other)
    linkSync(other, path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Another process was faster.
    if (code === 'EEXIST') return
    // Some file systems have no second names.
    if (!existsSync(other)) throw error
    makePrivate(path)
  } finally {
    rmSync(other, { force: true })
  }
}

function makePrivate(path: string): void {
  try {
    const file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600)
    // The umask may have taken away too much.
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
      `The file has schema ${version}, and this version of convoke knows ${schemaVersion}. Update convoke; the file was left as it is.`,
    )
}

/** Looks again, by all of SQLite's own checks and for what other processes did since; writes then. */
function prepare(database: Database, path: string, busyTimeoutMs: number): void {
  const header = headerOf(database)
  checkHeader(path, header)
  const mode = database.pragma('journal_mode', { simple: true })
  if (mode !== 'wal') untilFree(busyTimeoutMs, () => database.pragma('journal_mode = WAL'))
  if (header.version === schemaVersion) return
  untilFree(busyTimeoutMs, () => {
    database.exec('BEGIN IMMEDIATE')
    try {
      // Asked again inside: another process may have been faster, of a newer version or another program too.
      checkHeader(path, headerOf(database))
      migrate(database)
      database.exec('COMMIT')
    } finally {
      if (database.inTransaction) database.exec('ROLLBACK')
    }
  })
}

/** Read as one state: another process that makes the tables meanwhile would else be taken for another program. */
function headerOf(database: Database): FileHeader {
  const sql = `SELECT (SELECT count(*) FROM sqlite_schema) AS tables, application_id AS owner, user_version AS version
    FROM pragma_application_id, pragma_user_version`
  const { tables, ...header } = database.prepare(sql).get() as Omit<FileHeader, 'isEmpty'> & {
    tables: number
  }
  return { ...header, isEmpty: tables === 0 }
}

/** SQLite does not wait by itself where two processes turn one new file into a WAL database. */
function untilFree(busyTimeoutMs: number, step: () => unknown): void {
  const until = performance.now() + busyTimeoutMs
  for (;;) {
    try {
      step()
      return
    } catch (error) {
      const isBusy = String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')
      if (!isBusy || performance.now() > until) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 + Math.random() * 20)
    }
  }
}
