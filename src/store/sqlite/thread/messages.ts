/** Reads and writes single rows of messages and sessions. */
import { ConvokeError } from '../../../errors.ts'
import type { MessageRow, NewMessageRow, SessionRow } from '../protocol.ts'
import type { Connection } from './connection.ts'
import { joinDeltas } from './join-deltas.ts'

/*
 * Statements that each write needs have no joins. SQLite prepares a statement again when a parameter is bound whose value
 * its planner has used, and only for the simplest lookups it uses none.
 */

export const messageColumns = `m.sequence, m.id, (SELECT id FROM messages WHERE sequence = m.parent) AS parentId,
  m.session_id AS sessionId, m.turn, m.role, m.content,
  m.status, m.created_at AS createdAt, m.operation_id AS operationId, m.provider, m.model,
  m.response_id AS responseId, m.finish_reason AS finishReason, m.raw_finish_reason AS rawFinishReason, m.refusal,
  m.usage, m.cost_usd AS costUsd, m.timing, m.warnings, m.error`

const selectMessage = `SELECT ${messageColumns} FROM messages m`

export function messageAt(connection: Connection, sequence: number): MessageRow {
  return connection.get<MessageRow>(`${selectMessage} WHERE m.sequence = ?`, sequence) as MessageRow
}

/** The content that has arrived of a running reply. */
export function deltasOf(connection: Connection, reply: number) {
  const sql = 'SELECT parts FROM deltas WHERE reply = ? ORDER BY number'
  return joinDeltas(connection.all<{ parts: string }>(sql, reply).map(({ parts }) => parts))
}

/** The ends of a session's branch, as sequences. */
export interface SessionEnds {
  head: number | null
  headTurn: number
  summary: number | null
  compactedTo: number | null
  forkedFrom: string | null
  forkedAt: number | null
}

/** @throws ConvokeError `session_not_found` */
export function sessionEnds(connection: Connection, id: string): SessionEnds {
  const found = connection.get<SessionEnds>(
    `SELECT s.head, coalesce((SELECT turn FROM messages WHERE sequence = s.head), 0) AS headTurn, s.summary,
      s.compacted_to AS compactedTo, s.forked_from AS forkedFrom, s.forked_at AS forkedAt
      FROM sessions s WHERE s.id = ?`,
    id,
  )
  return found ?? sessionNotFound(connection, id)
}

export function sessionNotFound({ file }: Connection, id: string): never {
  const message = `[store ${file.path}] There is no session ${JSON.stringify(id.slice(0, 100))}. It was deleted or never opened: open it first.`
  throw new ConvokeError('session_not_found', message)
}

export const selectSession = `SELECT s.id, s.system, s.metadata, h.id AS headId, s.forked_from AS forkedFrom,
  y.id AS summaryId, c.id AS compactedTo, s.created_at AS createdAt, s.updated_at AS updatedAt,
  coalesce(h.turn, 0) AS turns
  FROM sessions s LEFT JOIN messages h ON h.sequence = s.head LEFT JOIN messages y ON y.sequence = s.summary
  LEFT JOIN messages c ON c.sequence = s.compacted_to`

/** Leaves null columns out: they are the record's optional fields. */
export function toSession(row: object): SessionRow {
  return Object.fromEntries(
    Object.entries(row).filter(([, value]) => value !== null),
  ) as unknown as SessionRow
}

export function findSession(connection: Connection, id: string): SessionRow | undefined {
  const row = connection.get<object>(`${selectSession} WHERE s.id = ?`, id)
  return row && toSession(row)
}

/** Marks a session as changed: lists give the one that was changed last first. `moveHead` does the same. */
export function touch(connection: Connection, id: string): void {
  const sql =
    'UPDATE sessions SET updated_at = ?, change = (SELECT max(change) + 1 FROM sessions) WHERE id = ?'
  connection.run(sql, Date.now(), id)
}

export function moveHead(connection: Connection, sessionId: string, head: number): void {
  const sql =
    'UPDATE sessions SET head = ?, updated_at = ?, change = (SELECT max(change) + 1 FROM sessions) WHERE id = ?'
  connection.run(sql, head, Date.now(), sessionId)
}

export interface MessagePosition {
  sessionId: string
  parent: number | null
  turn: number
  status: MessageRow['status']
  operationId?: string
  /** @default now */
  createdAt?: number
}

/**
 * Gives the new message's sequence.
 * @throws ConvokeError `store_failed` when there is a message of this id
 */
export function insertMessage(
  connection: Connection,
  message: NewMessageRow,
  position: MessagePosition,
): number {
  const { sessionId, parent, turn, status, operationId = null, createdAt = Date.now() } = position
  let sequence: number
  try {
    sequence = connection.insert(
      `INSERT INTO messages (id, parent, session_id, turn, role, status, text, content, created_at, operation_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[message.id, parent, sessionId, turn, message.role, status],
      ...[message.text, message.content, createdAt, operationId],
    )
  } catch (cause) {
    // A look before each insertion would cost every message.
    if ((cause as { code?: unknown }).code !== 'SQLITE_CONSTRAINT_UNIQUE') throw cause
    const text = `[store ${connection.file.path}] There is already a message ${JSON.stringify(message.id)}. Give each message an id of its own.`
    throw new ConvokeError('store_failed', text, { cause })
  }
  if (status !== 'streaming') queueForIndexing(connection, sequence)
  return sequence
}

/** Notes a message for the search index, which follows in the thread's idle time. */
export function queueForIndexing(connection: Connection, sequence: number): void {
  connection.run('INSERT OR IGNORE INTO outstanding (sequence) VALUES (?)', sequence)
}

/** The last sequence that a session wrote; 0 when it wrote none. */
export function lastSequenceOf(connection: Connection, sessionId: string): number {
  const sql = 'SELECT max(sequence) FROM messages WHERE session_id = ?'
  return connection.value<number | null>(sql, sessionId) ?? 0
}

export function sequenceOf(connection: Connection, id: string): number | undefined {
  return connection.value<number>('SELECT sequence FROM messages WHERE id = ?', id)
}

/**
 * The sequence of a message of the branch that ends at `head`. SQLite walks the branch: 100,000 messages take some 50 ms.
 * @throws ConvokeError `store_failed` when the branch has no message of this id
 */
export function sequenceOnBranch(connection: Connection, head: number | null, id: string): number {
  const sequence = sequenceOf(connection, id)
  if (sequence === undefined || !branchHas(connection, head, sequence)) {
    const text = `[store ${connection.file.path}] The branch has no message ${JSON.stringify(id.slice(0, 100))}. Take an id from its history.`
    throw new ConvokeError('store_failed', text)
  }
  return sequence
}

/** Whether the branch that ends at `end` has a message. */
export function branchHas(connection: Connection, end: number | null, sequence: number): boolean {
  if (end === null) return false
  const sql = `WITH RECURSIVE branch (sequence, parent) AS (
      SELECT sequence, parent FROM messages WHERE sequence = ?
      UNION ALL SELECT m.sequence, m.parent FROM branch b JOIN messages m ON m.sequence = b.parent
    ) SELECT 1 FROM branch WHERE sequence = ? LIMIT 1`
  return connection.value(sql, end, sequence) !== undefined
}
