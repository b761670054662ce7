/** Deletes the messages that nobody reads any more. */
import type { Connection } from './connection.ts'
import { unindex } from './search.ts'

/** Of one statement. */
const maxBatch = 1_000

/**
 * Messages of a session that no branch passes; then those that were kept of deleted sessions, for this one alone.
 * @param head of the fork that let go of them; null when it was none
 */
export function prune(connection: Connection, sessionId: string, head: number | null): void {
  const owners = head === null ? [] : deletedOwners(connection, head)
  for (const owner of new Set([sessionId, ...owners])) deleteMessages(connection, unread(connection, owner))
}

/** Deleted sessions on the way from a message back to the beginning, the latest first. */
function deletedOwners(connection: Connection, head: number): string[] {
  const sql = `WITH RECURSIVE branch (sequence, parent, session_id) AS (
      SELECT sequence, parent, session_id FROM messages WHERE sequence = ?
      UNION ALL
      SELECT m.sequence, m.parent, m.session_id FROM branch b JOIN messages m ON m.sequence = b.parent
    ) SELECT session_id AS owner FROM branch WHERE session_id NOT IN (SELECT id FROM sessions)
      GROUP BY session_id ORDER BY max(sequence) DESC`
  return connection.all<{ owner: string }>(sql, head).map(({ owner }) => owner)
}

/** Read is what a head, a summary, a running turn or another session's message stands on, and all before that. */
function unread(connection: Connection, owner: string): number[] {
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
    ) SELECT sequence FROM messages WHERE session_id = :owner AND sequence NOT IN (SELECT sequence FROM kept)`
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
