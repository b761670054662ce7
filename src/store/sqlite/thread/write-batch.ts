/** Group commit: many writes in one transaction, each with its own result. */
import type { Answer } from '../../../threads/answer.ts'
import type { StoreWrite, WriteValues } from '../protocol.ts'
import { serializeError } from '../../../threads/serialize-error.ts'
import type { Connection } from './connection.ts'
import {
  addMessages,
  clearSession,
  compact,
  deleteSession,
  forkSession,
  importSession,
  openSession,
  updateSession,
} from './sessions.ts'
import { isBusyError, toStoreError } from './store-error.ts'
import { appendDelta, beginTurn, endTurn, interruptTurn } from './turns.ts'

type Value = WriteValues[keyof WriteValues]

/**
 * Applies all writes in one transaction. When one fails, the transaction is repeated with a savepoint around each write.
 * When an error ends that transaction, too (a full disk), each write gets a transaction of its own, which tells for each
 * alone whether it is on disk.
 * @throws when the database is locked: then no write was applied, and none would be
 */
export function writeBatch(connection: Connection, writes: readonly StoreWrite[]): Answer<Value>[] {
  try {
    return connection.transaction(() =>
      writes.map((write) => ({ isOk: true, value: apply(connection, write) })),
    )
  } catch (error) {
    if (isBusyError(error)) throw error
  }
  if (writes.length > 1) {
    try {
      return connection.transaction(() => writes.map((write) => applyInSavepoint(connection, write)))
    } catch (error) {
      if (isBusyError(error)) throw error
    }
  }
  return writes.map((write) =>
    answerOf(connection, () => connection.transaction(() => apply(connection, write))),
  )
}

function applyInSavepoint(connection: Connection, write: StoreWrite): Answer<Value> {
  const { database } = connection
  database.exec('SAVEPOINT one')
  const answer = answerOf(connection, () => apply(connection, write))
  // A full disk may have ended the whole transaction.
  if (!database.inTransaction) throw new Error('The transaction ended')
  if (!answer.isOk) database.exec('ROLLBACK TO one')
  database.exec('RELEASE one')
  return answer
}

function answerOf(connection: Connection, work: () => Value): Answer<Value> {
  try {
    return { isOk: true, value: work() }
  } catch (error) {
    return { isOk: false, error: serializeError(toStoreError(error, connection.file.path)) }
  }
}

function apply(connection: Connection, write: StoreWrite): Value {
  switch (write.kind) {
    case 'append-delta':
      return appendDelta(connection, write)
    case 'add-messages':
      return addMessages(connection, write)
    case 'begin-turn':
      return beginTurn(connection, write)
    case 'end-turn':
      return endTurn(connection, write)
    case 'interrupt-turn':
      return interruptTurn(connection, write)
    case 'open-session':
      return openSession(connection, write)
    case 'update-session':
      return updateSession(connection, write)
    case 'fork-session':
      return forkSession(connection, write)
    case 'delete-session':
      return deleteSession(connection, write)
    case 'clear-session':
      return clearSession(connection, write)
    case 'import-session':
      return importSession(connection, write)
    case 'compact':
      return compact(connection, write)
  }
}
