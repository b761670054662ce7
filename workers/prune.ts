/** Deletes the messages that nobody reads any more. */
import type { Connection } from './connection.ts'
import { unindex } from './search.ts'

/** Of one statement. */
const maxBatch = 1_000

/**
 * Messages of a session that no branch passes; then those of its origins that were kept for this one alone.
 * @param head of the fork that let go of them; null when it was none
 */
export function prune(connection: Connection, sessionId: string, head: number | null): void {
  // Asked first: the way back begins at messages that are about to go.
  const origins = head === null ? [] : forgetfulOwners(connection, sessionId, head)
  deleteMessages(connection, unread(connection, sessionId, Number.MAX_SAFE_INTEGER))
  for (const { owner, forgotten } of origins) deleteMessages(connection, unread(connection, owner, forgotten))
}

/**
 * Sessions on the way from a message back to the beginning that were deleted, or cleared up to a message; the latest
 * first. What others have beside their branches are replies that were repeated: those stay.
 */
function forgetfulOwners(connection: Connection, sessionId: string, head: number) {
  const sql = `WITH RECURSIVE branch (sequence, parent, session_id) AS (
      SELECT sequence, parent, session_id FROM messages WHERE sequence = ?
      UNION ALL
      SELECT m.sequence, m.parent, m.session_id FROM branch b JOIN messages m ON m.sequence = b.parent
    ) SELECT b.session_id AS owner, iif(s.id IS NULL, ${Number.MAX_SAFE_INTEGER}, s.cleared_at) AS forgotten
      FROM branch b LEFT JOIN sessions s ON s.id = b.session_id
      WHERE b.session_id <> ? AND (s.id IS NULL OR s.cleared_at IS NOT NULL)
      GROUP BY b.session_id ORDER BY max(b.sequence) DESC`
  return connection.all<{ owner: string; forgotten: number }>(sql, head, sessionId)
}

/** Read is what a head, a summary, a running turn or another session's message stands on, and all before that. */
function unread(connection: Connection, owner: string, upTo: number): number[] {
  const sql = `WITH RECURSIVE self (id) AS (SELECT ?), held (sequence) AS (
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
    ) SELECT sequence FROM messages WHERE session_id = :owner AND sequence <= ?
      AND sequence NOT IN (SELECT sequence FROM kept)`
  const rows = connection.all<{ sequence: number }>(
    sql.replaceAll(':owner', '(SELECT id FROM self)'),
    owner,
    upTo,
  )
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
