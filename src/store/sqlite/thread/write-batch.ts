/** Group commit: many writes, one transaction, each with a result of its own. */
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
import { toStoreError } from './store-error.ts'
import { appendDelta, beginTurn, endTurn, interruptTurn } from './turns.ts'

type Value = WriteValues[keyof WriteValues]

/**
 * All at once; where one fails, anew with a savepoint around each; where the disk ends even that transaction, each in a
 * transaction of its own. The last says for every write alone whether it is on disk.
 */
export function writeBatch(connection: Connection, writes: readonly StoreWrite[]): Answer<Value>[] {
  try {
    return connection.transaction(() =>
      writes.map((write) => ({ isOk: true, value: apply(connection, write) })),
    )
  } catch (error) {
    if (isBusy(error)) throw error
  }
  if (writes.length > 1) {
    try {
      return connection.transaction(() => writes.map((write) => saved(connection, write)))
    } catch (error) {
      if (isBusy(error)) throw error
    }
  }
  return writes.map((write) =>
    settled(connection, () => connection.transaction(() => apply(connection, write))),
  )
}

/** Nothing was done, nor would it be for any of them. */
function isBusy(error: unknown): boolean {
  return String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')
}

function saved(connection: Connection, write: StoreWrite): Answer<Value> {
  const { database } = connection
  database.exec('SAVEPOINT one')
  const answer = settled(connection, () => apply(connection, write))
  // A full disk may have rolled back the whole transaction.
  if (!database.inTransaction) throw new Error('The transaction ended')
  if (!answer.isOk) database.exec('ROLLBACK TO one')
  database.exec('RELEASE one')
  return answer
}

function settled(connection: Connection, work: () => Value): Answer<Value> {
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
