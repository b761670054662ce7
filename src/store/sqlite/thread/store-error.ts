/** Gives errors of SQLite and the file system the library's codes, and messages with the file and the remedy. */
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ErrorCode } from '../../../errors.ts'
import { ConvokeError, isConvokeError, messageOf } from '../../../errors.ts'

/** With less free space than this, an I/O error is taken for a full disk. */
const fullBytes = 256 * 1024

export function toStoreError(error: unknown, path: string): ConvokeError {
  if (isConvokeError(error)) return error
  const kind = codeOf(error)
  const reason = messageOf(error)
  const fail = (code: ErrorCode, what: string, isRetryable?: boolean) =>
    new ConvokeError(code, `[store ${path}] ${what} (${kind || 'error'}: ${reason})`, {
      cause: error,
      ...(isRetryable === undefined ? {} : { isRetryable }),
    })
  if (/^(ERR_MODULE_NOT_FOUND|MODULE_NOT_FOUND|ERR_DLOPEN_FAILED)/.test(kind))
    return fail(
      'missing_dependency',
      'A part of the package better-sqlite3 is missing. Install it again, for this platform and this version of Node.',
    )
  const isDiskFull = /^(SQLITE_FULL|ENOSPC|EDQUOT|EFBIG)/.test(kind)
  if (isDiskFull || (/^(SQLITE_IOERR|SQLITE_CANTOPEN)/.test(kind) && isFull(path)))
    return fail(
      'store_full',
      'The disk is full. Free some space and try again; nothing that was stored is lost.',
    )
  if (/^(SQLITE_BUSY|SQLITE_LOCKED|SQLITE_PROTOCOL)/.test(kind))
    return fail(
      'store_locked',
      'Another process keeps the file locked. End it, or try again; busyTimeoutMs sets how long to wait.',
      true,
    )
  if (/^(SQLITE_CORRUPT|SQLITE_NOTADB)/.test(kind))
    return fail(
      'store_corrupt',
      'The file is damaged, or is not a SQLite database. It was not changed: restore a backup, or name another file.',
    )
  if (/^(SQLITE_READONLY|EACCES|EPERM|EROFS)/.test(kind))
    return fail(
      'store_failed',
      'The file or its folder is not writable. Change its permissions, or name another file.',
    )
  return fail('store_failed', 'The store failed. See the reason, and the state of the disk and the file.')
}

/** Whether SQLite found the database locked by another connection. */
export function isBusyError(error: unknown): boolean {
  return codeOf(error).startsWith('SQLITE_BUSY')
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < fullBytes
  } catch {
    return false
  }
}
