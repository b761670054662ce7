/**
 * The full-text index. It follows the commits in the writer's idle time: kept up by a trigger it would make appends five
 * times slower. Found is what is newest, so that a word of every message costs no more than a rare one.
 */
import type { SearchQuery, SearchRow } from '../src/protocol.ts'
import type { Connection } from './connection.ts'
import { messageAt } from './messages.ts'

/** Of one step: some 10 ms. */
const maxStepRows = 300
const maxStepBytes = 256 * 1024
const snippetTokens = 24

/** Indexes one step of what is outstanding. Gives what is left. */
export function indexStep(connection: Connection): number {
  const next = connection.all<{ sequence: number; bytes: number }>(
    `SELECT o.sequence, octet_length(m.text) AS bytes FROM outstanding o JOIN messages m ON m.sequence = o.sequence
      ORDER BY o.sequence LIMIT ?`,
    maxStepRows,
  )
  let bytes = 0
  const step = next.filter((row, at) => at === 0 || (bytes += row.bytes) <= maxStepBytes)
  const sequences = JSON.stringify(step.map(({ sequence }) => sequence))
  connection.run(
    `INSERT INTO message_index (rowid, text, owner) SELECT sequence, text, hex(session_id) FROM messages
      WHERE sequence IN (SELECT value FROM json_each(?))`,
    sequences,
  )
  connection.run('DELETE FROM outstanding WHERE sequence IN (SELECT value FROM json_each(?))', sequences)
  return outstanding(connection)
}

export function outstanding(connection: Connection): number {
  return connection.value<number>('SELECT count(*) FROM outstanding') as number
}

/** Takes messages out of the index, before they change or go: it has to be told what it was told. */
export function unindex(connection: Connection, sequences: readonly number[]): void {
  const json = JSON.stringify(sequences)
  connection.run(
    `INSERT INTO message_index (message_index, rowid, text, owner)
      SELECT 'delete', sequence, text, owner FROM searchable WHERE sequence IN (SELECT value FROM json_each(?))`,
    json,
  )
  connection.run('DELETE FROM outstanding WHERE sequence IN (SELECT value FROM json_each(?))', json)
}

/** Sequences above `from` up to `to`, of one session or of all. */
interface Range {
  owner?: string
  from: number
  to: number
}

/** One query for each range: bounds of a sequence do not help the index to find its place, so pages would cost more. */
export function search(connection: Connection, { terms, sessionId, limit }: SearchQuery): SearchRow[] {
  const rows: SearchRow[] = []
  for (const range of ranges(connection, sessionId)) {
    if (range.to > range.from && rows.length < limit)
      rows.push(...hits(connection, terms, range, limit - rows.length))
  }
  return rows
}

/** A fork searches what it shares with its origins, too: they wrote it before the fork, it wrote its own after. */
function ranges(connection: Connection, sessionId: string | undefined): Range[] {
  if (sessionId === undefined) return [{ from: 0, to: Number.MAX_SAFE_INTEGER }]
  const found: Range[] = []
  const seen = new Set<string>()
  let to = Number.MAX_SAFE_INTEGER
  for (let owner: string | null = sessionId; owner !== null && !seen.has(owner);) {
    seen.add(owner)
    const session:
      { forkedFrom: string | null; forkedAt: number | null; clearedAt: number | null } | undefined =
      connection.get(
        'SELECT forked_from AS forkedFrom, forked_at AS forkedAt, cleared_at AS clearedAt FROM sessions WHERE id = ?',
        owner,
      )
    // What an origin forgot since is no matter of its forks.
    const cleared: number = owner === sessionId ? (session?.clearedAt ?? 0) : 0
    const from = Math.max(session?.forkedAt ?? 0, cleared)
    found.push({ owner, from, to: Math.min(to, lastOf(connection, owner)) })
    to = Math.min(to, from)
    owner = session?.forkedAt == null || cleared > 0 ? null : session.forkedFrom
  }
  return found
}

/** A fork that wrote nothing has nothing to be looked through. */
function lastOf(connection: Connection, owner: string): number {
  const sql = 'SELECT max(sequence) FROM messages WHERE session_id = ?'
  return connection.value<number | null>(sql, owner) ?? 0
}

function hits(connection: Connection, terms: readonly string[], range: Range, limit: number): SearchRow[] {
  const words = terms.map((term) => `"${term}"`).join(' AND ')
  const owner =
    range.owner === undefined
      ? ''
      : ` AND {owner} : "${Buffer.from(range.owner).toString('hex').toUpperCase()}"`
  const found = connection.all<{ sequence: number; snippet: string }>(
    `SELECT rowid AS sequence, snippet(message_index, 0, '**', '**', '…', ${snippetTokens}) AS snippet
      FROM message_index WHERE message_index MATCH ? AND rowid > ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?`,
    ...[`{text} : (${words})${owner}`, range.from, range.to, limit],
  )
  return found.map(({ sequence, snippet }) => ({ message: messageAt(connection, sequence), snippet }))
}
