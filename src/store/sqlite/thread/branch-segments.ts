/**
 * Which messages are on a branch, without walking it. A session wrote one epoch of messages, or one more with each time
 * that it was cleared, in the order of their turns: what a epoch has up to the place where the next session went on is on
 * the branch, but for replies that were repeated by then.
 */
import type { Connection } from './connection.ts'
import { epochAt } from './session-epochs.ts'
import type { Epoch } from './session-epochs.ts'

/** What a branch has of one session. Beside the branch there may be others within these sequences. */
export interface Segment {
  owner: string
  from: number
  to: number
}

/** Tells which messages a branch passes. */
export interface Branch {
  /** The latest first. */
  segments(): Segment[]
  /** Those of the candidates, all written by this session, that the branch passes. */
  passed(candidates: readonly number[], owner: string): Set<number>
}

interface BranchPosition {
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
    AND x.sequence > m.sequence AND x.sequence <= ? AND (x.turn, x.sequence) <= (?, ?))
  AND NOT (m.parent IS NULL AND m.role = 'assistant' AND EXISTS (
    SELECT 1 FROM messages x WHERE x.parent IS NULL AND +x.session_id = m.session_id
      AND x.sequence > m.sequence AND x.sequence <= ? AND x.role <> 'summary' AND (x.turn, x.sequence) <= (?, ?)))`

/** None where the branch passes two lines of one session, or one that cannot be told from others. */
export function branchSegments(connection: Connection, end: number | null): Branch | undefined {
  const ends = new Map<string, BranchPosition & { epoch: Epoch }>()
  const segments: Segment[] = []
  for (let at = end; at !== null;) {
    const place = placeAt(connection, at)
    const { owner } = place
    const isRoot = place.role === 'summary' && place.parent === null
    const epoch = isRoot ? { from: at, to: at } : epochAt(connection, owner, at)
    if (!epoch || ends.has(owner)) return undefined
    ends.set(owner, { ...place, epoch })
    // The beginning of a fork from a summary: of what else that session wrote it has nothing.
    segments.push({ owner, from: epoch.from, to: isRoot ? at : lastUpTo(connection, place, epoch) })
    at = isRoot ? null : origin(connection, owner, epoch)
  }
  return {
    segments: () => segments,
    passed(candidates, owner) {
      const last = ends.get(owner)
      if (!last) return new Set()
      const { turn, sequence, epoch } = last
      const json = JSON.stringify(candidates.filter((one) => one >= epoch.from && one <= epoch.to))
      const place = [turn, sequence]
      const rows = connection.all<{ sequence: number }>(
        selectPassed,
        ...[json, ...place, sequence, epoch.to, ...place, epoch.to, ...place],
      )
      return new Set(rows.map((row) => row.sequence))
    },
  }
}

function placeAt(connection: Connection, sequence: number): BranchPosition {
  return connection.get<BranchPosition>(selectPlace, sequence) as BranchPosition
}

/** Before the turn behind it. What was added while its own turn ran was written after it, and stands before it. */
function lastUpTo(connection: Connection, { owner, sequence, turn }: BranchPosition, { to }: Epoch): number {
  const sql = `SELECT sequence FROM messages WHERE session_id = ? AND sequence > ? AND sequence <= ? AND turn > ?
    ORDER BY sequence LIMIT 1`
  const next = connection.value<number>(sql, owner, sequence, to, turn)
  return next === undefined ? to : next - 1
}

/** What this epoch stands on: a message of another session, or of one of the same id that was deleted. */
function origin(connection: Connection, owner: string, { from, to }: Epoch): number | null {
  const sql = `SELECT m.parent FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
    WHERE m.session_id = ? AND m.sequence >= ? AND m.sequence <= ? AND m.role <> 'summary'
      AND (p.session_id IS NOT m.session_id OR p.sequence < ? OR p.sequence > ?) ORDER BY m.sequence LIMIT 1`
  return connection.value<number | null>(sql, owner, from, to, from, to) ?? null
}
