/**
 * Which messages are on a branch, without walking it. A session that was never cleared wrote one line of messages, in the
 * order of their turns: what it wrote up to the place where the next session went on is on the branch, but for replies
 * that were repeated by then.
 */
import type { Connection } from './connection.ts'

/** What a branch has of one session. Beside the branch there may be others within these sequences. */
export interface Share {
  owner: string
  from: number
  to: number
}

/** Tells which messages a branch passes. */
export interface Branch {
  /** The latest first. */
  shares(): Share[]
  /** Those of the candidates, all written by this session, that the branch passes. */
  passed(candidates: readonly number[], owner: string): Set<number>
}

interface Place {
  sequence: number
  parent: number | null
  turn: number
  role: string
  owner: string
}

const selectPlace = `SELECT sequence, parent, turn, role, session_id AS owner FROM messages WHERE sequence = ?`

// By the index of parents, of which there are few: the plus keeps that of sessions away, where there may be 100,000.
const selectPassed = `SELECT m.sequence FROM messages m WHERE m.sequence IN (SELECT value FROM json_each(?))
  AND (m.turn, m.sequence) <= (?, ?)
  -- A summary is on a branch that was forked from it or imported with it.
  AND (m.role <> 'summary' OR m.sequence = ? OR EXISTS (
    SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = m.session_id))
  AND NOT EXISTS (SELECT 1 FROM messages x WHERE x.parent = m.parent AND +x.session_id = m.session_id
    AND x.sequence > m.sequence AND (x.turn, x.sequence) <= (?, ?))
  AND NOT (m.parent IS NULL AND m.role = 'assistant' AND EXISTS (
    SELECT 1 FROM messages x WHERE x.parent IS NULL AND +x.session_id = m.session_id
      AND x.sequence > m.sequence AND x.role <> 'summary' AND (x.turn, x.sequence) <= (?, ?)))`

/** None where a session on the way was cleared: it has begun more than once. */
export function branchShares(connection: Connection, end: number | null): Branch | undefined {
  const ends = new Map<string, Place>()
  const shares: Share[] = []
  for (let at = end; at !== null;) {
    const place = placeAt(connection, at)
    const { owner } = place
    const isRoot = place.role === 'summary' && place.parent === null
    if (!isRoot && (ends.has(owner) || !isWhole(connection, owner))) return undefined
    ends.set(owner, place)
    // The beginning of a fork from a summary: of what else that session wrote it has nothing.
    if (isRoot) shares.push({ owner, from: at, to: at })
    else shares.push({ owner, from: firstOf(connection, owner), to: lastUpTo(connection, place) })
    at = isRoot ? null : origin(connection, owner)
  }
  return {
    shares: () => shares,
    passed(candidates, owner) {
      const last = ends.get(owner)
      if (!last) return new Set()
      const { turn, sequence } = last
      const json = JSON.stringify(candidates)
      const place = [turn, sequence]
      const rows = connection.all<{ sequence: number }>(
        selectPassed,
        ...[json, ...place, sequence, ...place, ...place],
      )
      return new Set(rows.map((row) => row.sequence))
    },
  }
}

function placeAt(connection: Connection, sequence: number): Place {
  return connection.get<Place>(selectPlace, sequence) as Place
}

/** Whether all that a session wrote is one line. */
function isWhole(connection: Connection, id: string): boolean {
  const sql = 'SELECT cleared_at FROM sessions WHERE id = ?'
  const clearedAt = connection.value<number | null>(sql, id)
  return clearedAt === undefined ? isOneLine(connection, id) : clearedAt === null
}

/** What is left of a deleted session, by its last message: it writes no more. */
const lines = new WeakMap<Connection, Map<string, boolean>>()
const maxLines = 1_000

/** Whether that is one line is not known any more, and looked up once: 100,000 messages take some 20 ms. */
function isOneLine(connection: Connection, id: string): boolean {
  let known = lines.get(connection)
  if (!known || known.size >= maxLines) lines.set(connection, (known = new Map()))
  const last = connection.value<number>('SELECT max(sequence) FROM messages WHERE session_id = ?', id)
  const key = `${last} ${id}`
  let isOne = known.get(key)
  if (isOne === undefined) {
    const sql = `SELECT count(*) FROM (
      SELECT 1 FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
      WHERE m.session_id = ? AND p.session_id IS NOT m.session_id AND (m.role <> 'summary' OR EXISTS (
        SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = m.session_id)) LIMIT 2)`
    known.set(key, (isOne = connection.value<number>(sql, id) === 1))
  }
  return isOne
}

function firstOf(connection: Connection, owner: string): number {
  return connection.value<number>('SELECT min(sequence) FROM messages WHERE session_id = ?', owner) as number
}

/** Before the turn behind it. What was added while its own turn ran was written after it, and stands before it. */
function lastUpTo(connection: Connection, { owner, sequence, turn }: Place): number {
  const sql =
    'SELECT sequence FROM messages WHERE session_id = ? AND sequence > ? AND turn > ? ORDER BY sequence LIMIT 1'
  return (connection.value<number>(sql, owner, sequence, turn) ?? Number.MAX_SAFE_INTEGER) - 1
}

/** The message of another session that this one's stand on. */
function origin(connection: Connection, owner: string): number | null {
  const sql = `SELECT m.parent FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
    WHERE m.session_id = ? AND m.role <> 'summary' AND p.session_id IS NOT m.session_id ORDER BY m.sequence LIMIT 1`
  return connection.value<number | null>(sql, owner) ?? null
}
