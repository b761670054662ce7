/** Deletes the messages that nobody reads any more. */
import type { Connection } from './connection.ts'
import type { SessionEnds } from './messages.ts'
import { unindex } from './search.ts'

/** Of one statement. */
const maxBatch = 1_000

/** What a session let go of. */
type Released = Pick<SessionEnds, 'head' | 'summary' | 'forkedFrom' | 'forkedAt'>

/**
 * Messages of a session that no branch passes; then those of its origins that were kept for this one alone, and the
 * summary that it shared with them.
 */
export function prune(connection: Connection, sessionId: string, released: Released): void {
  // Asked first: the way back begins at messages that are about to go.
  const origins = released.forkedFrom === null ? [] : originsOf(connection, sessionId, released)
  const forgetful = origins.filter(({ isForgetful }) => isForgetful).map(({ owner }) => owner)
  let deleted = pruneOwners(connection, [sessionId, ...forgetful])
  // A session of an id that was used before may stand between two others: what goes last frees what was looked at first.
  while (deleted > 0 && forgetful.length > 0) deleted = pruneOwners(connection, [sessionId, ...forgetful])
  for (const summary of [released.summary, ...origins.map(({ root }) => root)])
    if (summary !== null) pruneSummary(connection, summary)
}

/** Gives how many were deleted. */
function pruneOwners(connection: Connection, owners: readonly string[]): number {
  let deleted = 0
  for (const owner of owners) {
    const sequences = unread(connection, owner)
    deleteMessages(connection, sequences)
    deleted += sequences.length
  }
  return deleted
}

/** One that nobody reads any more: those that were forked from its session may have it still. */
export function pruneSummary(connection: Connection, sequence: number): void {
  const sql = `SELECT 1 FROM messages m WHERE m.sequence = ? AND m.role = 'summary'
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE summary = m.sequence)
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE head = m.sequence)
    AND NOT EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence)`
  if (connection.value(sql, sequence) !== undefined) deleteMessages(connection, [sequence])
}

interface Origin {
  owner: string
  /** It was deleted or cleared. What others have beside their branches are replies that were repeated: those stay. */
  isForgetful: 0 | 1
  /** The summary that the branch begins with. */
  root: number | null
}

/** The other sessions on the way from the head back to the beginning, the latest first. */
function originsOf(connection: Connection, sessionId: string, { head, forkedAt }: Released): Origin[] {
  const sql = `WITH RECURSIVE branch (sequence, parent, owner, role) AS (
      SELECT sequence, parent, session_id, role FROM messages WHERE sequence = ?
      UNION ALL
      SELECT m.sequence, m.parent, m.session_id, m.role FROM branch b JOIN messages m ON m.sequence = b.parent
    ), passed AS (
      SELECT * FROM branch
      -- A reply of the origin that this session repeated: it stands beside its branch.
      UNION ALL SELECT sequence, parent, session_id, role FROM messages WHERE sequence = ?
    ) SELECT p.owner, s.id IS NULL OR s.cleared_at IS NOT NULL AS isForgetful,
        max(iif(p.role = 'summary' AND p.parent IS NULL, p.sequence, NULL)) AS root
      FROM passed p LEFT JOIN sessions s ON s.id = p.owner
      WHERE p.owner <> ? GROUP BY p.owner ORDER BY max(p.sequence) DESC`
  return connection.all<Origin>(sql, head, forkedAt, sessionId)
}

/**
 * Read is what a head, a summary, a running turn or another session's message stands on, and all before that. A reply
 * that the session itself has repeated stays beside the new one.
 */
function unread(connection: Connection, owner: string): number[] {
  const sql = `WITH RECURSIVE self (id) AS (SELECT ?), ends (sequence) AS (
      SELECT head FROM sessions WHERE id = :owner UNION SELECT reply FROM running WHERE session_id = :owner
    ), held (sequence) AS (
      SELECT head FROM sessions WHERE head IS NOT NULL
      UNION SELECT summary FROM sessions WHERE summary IS NOT NULL
      UNION SELECT compacted_to FROM sessions WHERE compacted_to IS NOT NULL
      UNION SELECT reply FROM running
      UNION SELECT m.sequence FROM messages m JOIN messages c ON c.parent = m.sequence
        WHERE m.session_id = :owner AND c.session_id <> :owner
    ), kept (sequence, parent) AS (
      SELECT m.sequence, m.parent FROM held h JOIN messages m ON m.sequence = h.sequence WHERE m.session_id = :owner
      UNION
      SELECT m.sequence, m.parent FROM kept k JOIN messages m ON m.sequence = k.parent WHERE m.session_id = :owner
    ), own (sequence, parent) AS (
      SELECT m.sequence, m.parent FROM ends e JOIN messages m ON m.sequence = e.sequence WHERE m.session_id = :owner
      UNION
      SELECT m.sequence, m.parent FROM own o JOIN messages m ON m.sequence = o.parent WHERE m.session_id = :owner
    ) SELECT sequence FROM messages m WHERE session_id = :owner AND sequence NOT IN (SELECT sequence FROM kept)
      AND NOT (role = 'assistant' AND EXISTS (
        SELECT 1 FROM messages x WHERE x.parent IS m.parent AND +x.sequence > m.sequence
          AND +x.sequence IN (SELECT sequence FROM own)))`
  const rows = connection.all<{ sequence: number }>(sql.replaceAll(':owner', '(SELECT id FROM self)'), owner)
  return rows.map(({ sequence }) => sequence)
}

export function deleteMessages(connection: Connection, sequences: readonly number[]): void {
  for (let at = 0; at < sequences.length; at += maxBatch) {
    const batch = sequences.slice(at, at + maxBatch)
    unindex(connection, batch)
    connection.run(
      'DELETE FROM messages WHERE sequence IN (SELECT value FROM json_each(?))',
      JSON.stringify(batch),
    )
  }
}
