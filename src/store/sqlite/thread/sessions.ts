/** Writes to whole sessions: they are opened, forked, imported, added to, compacted, cleared and deleted. */
import { ConvokeError } from '../../../errors.ts'
import type { AddedMessageRow, AddedRow, NewSessionRow, SessionRow, StoreWriteOf } from '../protocol.ts'
import type { Connection } from './connection.ts'
import {
  findSession,
  insertMessage,
  branchHas,
  messageAt,
  moveHead,
  sequenceOnBranch,
  sequenceOf,
  sessionEnds,
  sessionNotFound,
  touch,
} from './messages.ts'
import type { SessionEnds } from './messages.ts'
import { prune, pruneSummary } from './prune.ts'
import { runningTurn, sequencesOfTurn } from './running-turn.ts'
import type { RunningTurn } from './running-turn.ts'
import { interruptSession, setReply } from './turns.ts'

export function openSession(connection: Connection, { session }: StoreWriteOf<'open-session'>): SessionRow {
  insertSession(connection, session)
  return findSession(connection, session.id) as SessionRow
}

function insertSession(connection: Connection, { id, system, metadata }: NewSessionRow): void {
  const now = Date.now()
  // Forks may still read messages of a deleted session of this id. `cleared_at` says that they are not this session's.
  const sql = `INSERT INTO sessions (id, system, metadata, created_at, updated_at, cleared_at, change)
    VALUES (?, ?, ?, ?, ?, (SELECT max(sequence) FROM messages WHERE session_id = ?),
      (SELECT coalesce(max(change), 0) + 1 FROM sessions)) ON CONFLICT (id) DO NOTHING`
  connection.run(sql, id, system, metadata, now, now, id)
}

export function updateSession(connection: Connection, write: StoreWriteOf<'update-session'>): SessionRow {
  const { id, system = null, metadata = null } = write
  sessionEnds(connection, id)
  const sql =
    'UPDATE sessions SET system = coalesce(?, system), metadata = coalesce(?, metadata) WHERE id = ?'
  connection.run(sql, system, metadata, id)
  touch(connection, id)
  return findSession(connection, id) as SessionRow
}

export function forkSession(
  connection: Connection,
  { id, fork, at }: StoreWriteOf<'fork-session'>,
): SessionRow {
  const origin = sessionEnds(connection, id)
  const existing = findSession(connection, fork.id)
  // It was made before: the thread died between the commit and its answer.
  if (existing?.forkedFrom === id && isForkedAt(connection, fork.id, at)) return existing
  if (existing) {
    const message = `[store ${connection.file.path}] There is already a session ${JSON.stringify(fork.id)}. Give the fork an id of its own.`
    throw new ConvokeError('store_failed', message)
  }
  const head = at === undefined ? origin.head : forkPoint(connection, origin, at)
  const { summary, compactedTo } = compactionAt(connection, origin, head)
  insertSession(connection, fork)
  connection.run(
    `UPDATE sessions SET head = ?, forked_from = ?, forked_at = ?, summary = ?, compacted_to = ?,
      system = coalesce(system, (SELECT system FROM sessions WHERE id = ?)) WHERE id = ?`,
    ...[head, id, head, summary, compactedTo, id, fork.id],
  )
  return findSession(connection, fork.id) as SessionRow
}

/** Whether a fork was made at this message. A message that was deleted since cannot be compared, and counts as the same. */
function isForkedAt(connection: Connection, id: string, at: string | undefined): boolean {
  const asked = at === undefined ? undefined : sequenceOf(connection, at)
  return asked === undefined || asked === sessionEnds(connection, id).forkedAt
}

type Compaction = Pick<SessionEnds, 'summary' | 'compactedTo'>

/** The compaction of a branch that ends at `head`, a message of the branch of `origin`. */
function compactionAt(connection: Connection, origin: SessionEnds, head: number | null): Compaction {
  const { summary, compactedTo } = origin
  if (summary === null || compactedTo === null || head === null) return { summary: null, compactedTo: null }
  if (head === origin.head || branchHas(connection, head, compactedTo)) return { summary, compactedTo }
  // The branch ends within the compacted part, so it is read in full, from the summary where it begins with one.
  const root = rootSummary(connection, head)
  return { summary: root, compactedTo: root }
}

/** The summary with which a branch begins. */
function rootSummary(connection: Connection, head: number): number | null {
  const sql = `WITH RECURSIVE branch (sequence, parent, role) AS (
      SELECT sequence, parent, role FROM messages WHERE sequence = ?
      UNION ALL SELECT m.sequence, m.parent, m.role FROM branch b JOIN messages m ON m.sequence = b.parent
    ) SELECT sequence FROM branch WHERE parent IS NULL AND role = 'summary'`
  return connection.value<number>(sql, head) ?? null
}

/** The message at which a fork's branch ends. The session's summary may be chosen, too: the branch is that alone then. */
function forkPoint(connection: Connection, { head, summary }: SessionEnds, id: string): number {
  return summary !== null && sequenceOf(connection, id) === summary
    ? summary
    : sequenceOnBranch(connection, head, id)
}

/** Reads little besides the writing, so that adding one message costs little more than its row. */
export function addMessages(connection: Connection, write: StoreWriteOf<'add-messages'>): AddedRow {
  const { sessionId, messages } = write
  const end = endOf(connection, sessionId)
  const createdAt = Date.now()
  const running = end.isBusy ? runningTurn(connection, sessionId) : undefined
  // While a reply is being repeated, the head is the old reply, which will leave the branch.
  const isBehindHead = !running || running.parent === end.head
  const parent = isBehindHead ? end.head : running.parent
  const parentId = isBehindHead ? end.id : idAt(connection, parent)
  const added = { turn: end.turn + 1, parentId, createdAt }
  const [first, ...others] = messages
  if (!first) return { ...added, sequence: 0 }
  const insert = (message: AddedMessageRow, before: number | null) => {
    const { status, reply, turn } = message
    const position = { sessionId, parent: before, turn: added.turn + turn, status, createdAt }
    const sequence = insertMessage(connection, message, position)
    setReply(connection, sequence, reply)
    return sequence
  }
  let sequence: number
  try {
    sequence = insert(first, parent)
  } catch (error) {
    const before = addedBefore(connection, write)
    if (before) return before
    throw error
  }
  const last = others.reduce((before, message) => insert(message, before), sequence)
  moveHead(connection, sessionId, last)
  if (running) {
    const turns = (messages.at(-1)?.turn ?? 0) + (isBehindHead ? 1 : 2)
    putBeforeRunning(connection, running, last, turns)
  }
  return { ...added, sequence }
}

/** Refuses a session that has messages: the imported ones would be mixed with them. */
export function importSession(connection: Connection, write: StoreWriteOf<'import-session'>): SessionRow {
  const { session } = write
  const messages = write.messages.flatMap(
    (slice) => JSON.parse(Buffer.from(slice.buffer).toString()) as AddedMessageRow[],
  )
  const { id, system, metadata } = session
  insertSession(connection, session)
  const first = messages[0] && sequenceOf(connection, messages[0].id)
  // Otherwise it was imported before: the thread died between the commit and its answer.
  if (first === undefined || messageAt(connection, first).sessionId !== id) {
    const { head } = sessionEnds(connection, id)
    if (head !== null || runningTurn(connection, id)) {
      const message = `The session ${JSON.stringify(id)} has messages already. Import under another id, or clear that session first.`
      throw new ConvokeError('invalid_request', message)
    }
    const { sequence } = addMessages(connection, { kind: 'add-messages', sessionId: id, messages })
    if (messages[0]?.role === 'summary') {
      const sql = 'UPDATE sessions SET summary = ?, compacted_to = ? WHERE id = ?'
      connection.run(sql, sequence, sequence, id)
    }
    updateSession(connection, {
      kind: 'update-session',
      id,
      ...(system === null ? {} : { system }),
      ...(metadata === null ? {} : { metadata }),
    })
  }
  return findSession(connection, id) as SessionRow
}

function idAt(connection: Connection, sequence: number | null): string | null {
  return connection.value<string>('SELECT id FROM messages WHERE sequence = ?', sequence) ?? null
}

/** @throws ConvokeError `session_not_found` */
function endOf(connection: Connection, sessionId: string) {
  const found = connection.get<{ head: number | null; id: string | null; turn: number; isBusy: number }>(
    `SELECT head, (SELECT id FROM messages WHERE sequence = s.head) AS id,
      coalesce((SELECT turn FROM messages WHERE sequence = s.head), 0) AS turn,
      EXISTS (SELECT 1 FROM running WHERE session_id = s.id) AS isBusy
      FROM sessions s WHERE s.id = ?`,
    sessionId,
  )
  return found ?? sessionNotFound(connection, sessionId)
}

/**
 * The answer to messages that were added before: the thread died between the commit and its answer. All of them are there
 * then, one behind the other.
 */
function addedBefore(
  connection: Connection,
  { sessionId, messages }: StoreWriteOf<'add-messages'>,
): AddedRow | undefined {
  const rows = messages.map(({ id }) => sequenceOf(connection, id))
  const [sequence] = rows
  if (sequence === undefined) return undefined
  const { turn, parentId, createdAt, ...row } = messageAt(connection, sequence)
  if (row.sessionId !== sessionId) return undefined
  const missing = messages.find((_, at) => rows[at] !== sequence + at)
  if (!missing) return { sequence, turn, parentId, createdAt }
  const message = `[store ${connection.file.path}] Some of these messages were stored before, but ${JSON.stringify(missing.id)} was not. Give new messages new ids.`
  throw new ConvokeError('store_failed', message)
}

/** Puts the running turn behind the added messages. Its end becomes the head, and would otherwise drop them. */
function putBeforeRunning(connection: Connection, running: RunningTurn, added: number, turns: number): void {
  connection.run('UPDATE messages SET parent = ? WHERE sequence = ?', added, running.first)
  const sql = 'UPDATE messages SET turn = turn + ? WHERE sequence IN (SELECT value FROM json_each(?))'
  connection.run(sql, turns, JSON.stringify(sequencesOfTurn(connection, running)))
}

export function compact(connection: Connection, write: StoreWriteOf<'compact'>): SessionRow {
  const { sessionId, summary, reply, upTo } = write
  const { head, summary: replaced } = sessionEnds(connection, sessionId)
  if (sequenceOf(connection, summary.id) === undefined) {
    const compactedTo = sequenceOnBranch(connection, head, upTo)
    const { turn } = messageAt(connection, compactedTo)
    const sequence = insertMessage(connection, summary, { sessionId, parent: null, turn, status: 'complete' })
    setReply(connection, sequence, reply)
    const sql = 'UPDATE sessions SET summary = ?, compacted_to = ? WHERE id = ?'
    connection.run(sql, sequence, compactedTo, sessionId)
    touch(connection, sessionId)
    if (replaced !== null) pruneSummary(connection, replaced)
  }
  return findSession(connection, sessionId) as SessionRow
}

export function clearSession(connection: Connection, { id }: StoreWriteOf<'clear-session'>): null {
  const released = sessionEnds(connection, id)
  // A running turn begins the new branch.
  connection.run(
    'UPDATE messages SET parent = NULL WHERE sequence = (SELECT first FROM running WHERE session_id = ?)',
    id,
  )
  connection.run(
    `UPDATE sessions SET head = NULL, summary = NULL, compacted_to = NULL, cleared_at = coalesce(
      (SELECT first - 1 FROM running WHERE session_id = sessions.id), (SELECT max(sequence) FROM messages)) WHERE id = ?`,
    id,
  )
  touch(connection, id)
  prune(connection, id, released)
  return null
}

/** Does nothing when there is no such session: it may have been deleted by the same write before. */
export function deleteSession(connection: Connection, { id }: StoreWriteOf<'delete-session'>): null {
  if (!findSession(connection, id)) return null
  interruptSession(connection, id)
  const released = sessionEnds(connection, id)
  connection.run('DELETE FROM sessions WHERE id = ?', id)
  prune(connection, id, released)
  return null
}
