/**
 * The thread of a SQLite store. It alone has the file open. A task opens the file first when that was not done: the thread
 * may be new, because another one died.
 */
import { existsSync } from 'node:fs'
import { serializeError } from '../src/threads/serialize-error.ts'
import type { Answer } from '../src/threads/answer.ts'
import type { StoreJob, StoreTask, StoreValues, SessionRow, StoreFile } from '../src/store/sqlite/protocol.ts'
import { readBranch } from '../src/store/sqlite/thread/read-branch.ts'
import { Connection } from '../src/store/sqlite/thread/connection.ts'
import { findSession, selectSession, toSession } from '../src/store/sqlite/thread/messages.ts'
import { indexStep, search, unindexedCount } from '../src/store/sqlite/thread/search.ts'
import { toStoreError } from '../src/store/sqlite/thread/store-error.ts'
import {
  findOperation,
  interruptDeadOf,
  interruptDead,
  interruptOwn,
} from '../src/store/sqlite/thread/turns.ts'
import { backup, check, vacuum } from '../src/store/sqlite/thread/maintenance.ts'
import { writeBatch } from '../src/store/sqlite/thread/write-batch.ts'

/** After this long without a task the thread is idle, and indexes messages step by step. */
const idleMs = 50
const betweenStepsMs = 5

let connection: Connection | undefined
let timer: NodeJS.Timeout | undefined

export default async function run({ file, job }: StoreTask): Promise<Answer<StoreValues[StoreJob['kind']]>> {
  clearTimeout(timer)
  try {
    if (job.kind === 'close') return { isOk: true, value: connection ? close(connection) : closeAnew(file) }
    const value = await perform(opened(file), job)
    indexWhenIdle(idleMs)
    return { isOk: true, value }
  } catch (error) {
    return { isOk: false, error: serializeError(toStoreError(error, file.path)) }
  }
}

/** The connection to the file, which is opened when it is not yet. */
function opened(file: StoreFile): Connection {
  if (!connection) {
    const fresh = new Connection(file)
    try {
      interruptDead(fresh)
    } catch (error) {
      fresh.database.close()
      throw error
    }
    connection = fresh
  }
  connection.file = file
  return connection
}

function perform(
  open: Connection,
  job: Exclude<StoreJob, { kind: 'close' }>,
): StoreValues[StoreJob['kind']] | Promise<StoreValues[StoreJob['kind']]> {
  open.checkFile()
  switch (job.kind) {
    case 'write':
      return writeBatch(open, job.writes)
    case 'find-session':
      return findSession(open, job.id) ?? null
    case 'list-sessions':
      return listSessions(open, job.limit, job.offset)
    case 'list-changed':
      return open.snapshot(() => listChanged(open, job.after, job.limit))
    case 'find-operation':
      return findOperation(open, job.sessionId, job.operationId)
    case 'read-branch':
      if (!job.page.from) interruptDeadOf(open, job.page.sessionId)
      return readBranch(open, job.page)
    case 'index':
      return unindexedCount(open) === 0 ? 0 : open.transaction(() => indexStep(open))
    case 'search':
      return search(open, job.query)
    case 'backup':
      return backup(open, job)
    case 'vacuum':
      return vacuum(open)
    case 'check':
      return check(open)
  }
}

function listSessions(open: Connection, limit: number, offset: number): SessionRow[] {
  const sql = `${selectSession} ORDER BY s.change DESC LIMIT ? OFFSET ?`
  return open.all<object>(sql, limit, offset).map(toSession)
}

function listChanged(open: Connection, after: number, limit: number): StoreValues['list-changed'] {
  const sql = `${selectSession} WHERE s.change > ? ORDER BY s.change LIMIT ?`
  const rows = open.all<object>(sql, after, limit).map(toSession)
  const last = open.value<number>('SELECT change FROM sessions WHERE id = ?', rows.at(-1)?.id ?? null)
  return { rows, last: last ?? after }
}

function close(open: Connection): null {
  try {
    interruptOwn(open)
  } finally {
    open.database.close()
    connection = undefined
  }
  return null
}

/**
 * Closes a store whose thread has died: its turns may still be marked as running, and are interrupted. An error here loses
 * nothing that was acknowledged. Another process will then interrupt them, once this one has ended.
 */
function closeAnew(file: StoreFile): null {
  // A file that was moved is not created again.
  if (!file.wasOpened || !existsSync(file.path)) return null
  try {
    return close(opened(file))
  } catch {
    return null
  }
}

function indexWhenIdle(delayMs: number): void {
  clearTimeout(timer)
  timer = setTimeout(() => {
    if (connection && indexQuietly(connection) > 0) indexWhenIdle(betweenStepsMs)
  }, delayMs)
}

/** Indexes a step. When it fails (the file is locked, the disk is full), a later step or a search indexes those messages. */
function indexQuietly(open: Connection): number {
  const { database, file } = open
  try {
    if (unindexedCount(open) === 0) return 0
    database.pragma('busy_timeout = 0')
    return open.transaction(() => indexStep(open))
  } catch {
    return 0
  } finally {
    database.pragma(`busy_timeout = ${file.busyTimeoutMs}`)
  }
}
