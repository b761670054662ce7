/** Deletes messages that no session reads any more. */
import type { Connection } from './connection.ts'
import type { SessionEnds } from './messages.ts'
import { unindex } from './search.ts'

/** Most messages deleted by one statement. */
const maxBatch = 1_000

/** The ends that a session had before it was cleared or deleted. */
type Released = Pick<SessionEnds, 'head' | 'summary' | 'forkedFrom' | 'forkedAt'>

/**
 * Deletes the messages of a session that are on no branch; then messages of its origins (the sessions it was forked from)
 * that were kept for this session alone, and the summaries that it shared with them.
 */
export function prune(connection: Connection, sessionId: string, released: Released): void {
  // The origins are found first, since the way to them begins at messages that are about to be deleted.
  const origins = released.forkedFrom === null ? [] : originsOf(connection, sessionId, released)
  const releasedOwners = origins.filter(({ isReleased }) => isReleased).map(({ owner }) => owner)
  let deleted = pruneOwners(connection, [sessionId, ...releasedOwners])
  // An id may have been used by two sessions of the branch, one after the other. Deleting the later one's messages then
  // frees messages that were looked at before.
  while (deleted > 0 && releasedOwners.length > 0)
    deleted = pruneOwners(connection, [sessionId, ...releasedOwners])
  for (const summary of [released.summary, ...origins.map(({ root }) => root)])
    if (summary !== null) pruneSummary(connection, summary)
}

/** Gives how many messages were deleted. */
function pruneOwners(connection: Connection, owners: readonly string[]): number {
  let deleted = 0
  for (const owner of owners) {
    const sequences = unreachable(connection, owner)
    deleteMessages(connection, sequences)
    deleted += sequences.length
  }
  return deleted
}

/** Deletes a summary that no session reads any more. Forks of its session may still have it. */
export function pruneSummary(connection: Connection, sequence: number): void {
  const sql = `SELECT 1 FROM messages m WHERE m.sequence = ? AND m.role = 'summary'
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE summary = m.sequence)
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE head = m.sequence)
    AND NOT EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence)`
  if (connection.value(sql, sequence) !== undefined) deleteMessages(connection, [sequence])
}

interface Origin {
  owner: string
  /** It was deleted or cleared. Others have nothing beside their branches but repeated replies, which stay. */
  isReleased: 0 | 1
  /** The summary with which the branch begins. */
  root: number | null
}

/** The other sessions that wrote a part of the branch, latest first. */
function originsOf(connection: Connection, sessionId: string, { head, forkedAt }: Released): Origin[] {
  const sql = `WITH RECURSIVE branch (sequence, parent, owner, role) AS (
      SELECT sequence, parent, session_id, role FROM messages WHERE sequence = ?
      UNION ALL
      SELECT m.sequence, m.parent, m.session_id, m.role FROM branch b JOIN messages m ON m.sequence = b.parent
    ), passed AS (
      SELECT * FROM branch
      -- A reply of the origin that this session repeated: it is beside the branch.
      UNION ALL SELECT sequence, parent, session_id, role FROM messages WHERE sequence = ?
    ) SELECT p.owner, s.id IS NULL OR s.cleared_at IS NOT NULL AS isReleased,
        max(iif(p.role = 'summary' AND p.parent IS NULL, p.sequence, NULL)) AS root
      FROM passed p LEFT JOIN sessions s ON s.id = p.owner
      WHERE p.owner <> ? GROUP BY p.owner ORDER BY max(p.sequence) DESC`
  return connection.all<Origin>(sql, head, forkedAt, sessionId)
}

/**
 * The messages of a session that nothing leads to. Heads, summaries, running turns and messages of other sessions lead to
 * their parents, and to all before these. A reply that the session itself repeated stays beside the new one.
 */
function unreachable(connection: Connection, owner: string): number[] {
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

function deleteMessages(connection: Connection, sequences: readonly number[]): void {
  for (let at = 0; at < sequences.length; at += maxBatch) {
    const batch = sequences.slice(at, at + maxBatch)
    unindex(connection, batch)
    connection.run(
      'DELETE FROM messages WHERE sequence IN (SELECT value FROM json_each(?))',
      JSON.stringify(batch),
    )
  }
}
