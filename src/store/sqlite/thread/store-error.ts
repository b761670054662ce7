/** What SQLite and the file system say, in the library's codes: each names the file and what to do. */
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ErrorCode } from '../../../errors.ts'
import { ConvokeError, isConvokeError, messageOf } from '../../../errors.ts'

/** Less than this left on the disk explains an I/O error. */
const fullBytes = 256 * 1024

export function toStoreError(error: unknown, path: string): ConvokeError {
  if (isConvokeError(error)) return error
  const reported = (error as { code?: unknown } | null)?.code
  const kind = typeof reported === 'string' ? reported : ''
  const reason = messageOf(error)
  const fail = (code: ErrorCode, what: string, isRetryable?: boolean) =>
    new ConvokeError(code, `[store ${path}] ${what} (${kind || 'error'}: ${reason})`, {
      cause: error,
      ...(isRetryable === undefined ? {} : { isRetryable }),
    })
  if (/^(ERR_MODULE_NOT_FOUND|MODULE_NOT_FOUND|ERR_DLOPEN_FAILED)/.test(kind))
    return fail(
      'missing_dependency',
      'The package better-sqlite3 is missing in part. Install it again, for this platform and this version of Node.',
    )
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT|EFBIG)/.test(kind))
    return fail(
      'store_full',
      'The disk is full. Free some space and try again; nothing that was stored is lost.',
    )
  if (/^(SQLITE_BUSY|SQLITE_LOCKED|SQLITE_PROTOCOL)/.test(kind))
    return fail(
      'store_locked',
      'Another process keeps the file locked. End it, or try again; busyTimeoutMs sets how long is waited.',
      true,
    )
  if (/^(SQLITE_CORRUPT|SQLITE_NOTADB)/.test(kind))
    return fail(
      'store_corrupt',
      'The file is damaged or no SQLite database. It was left as it is: restore a backup, or name another file.',
    )
  if (/^(SQLITE_IOERR|SQLITE_CANTOPEN)/.test(kind) && isFull(path))
    return fail(
      'store_full',
      'The disk is full. Free some space and try again; nothing that was stored is lost.',
    )
  if (/^(SQLITE_READONLY|EACCES|EPERM|EROFS)/.test(kind))
    return fail(
      'store_failed',
      'The file or its folder may not be written. Change its permissions or name another.',
    )
  return fail(
    'store_failed',
    'The store could not do this. See the reason, and the state of the disk and the file.',
  )
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < fullBytes
  } catch {
    return false
  }
}
