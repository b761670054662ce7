/**
 * Tells which messages are on a branch without walking it. A branch is a list of segments, one per session that wrote a part
 * of it. Within an epoch (see `session-epochs.ts`) a session writes its messages in the order of their turns. All messages
 * of the epoch up to the point where the next session forked are therefore on the branch, except for replies that had been
 * repeated by then.
 *
 * Room `store/sqlite/thread`: the SQLite store, in the worker thread that has the file open. Imported by `workers`.
 */
import type { Connection } from './connection.ts'
import { epochAt } from './session-epochs.ts'
import type { Epoch } from './session-epochs.ts'

/** One session's part of a branch. Between these sequences there may also be messages beside the branch. */
export interface Segment {
  /** The id of the session that wrote it. */
  owner: string
  from: number
  to: number
}

/** Tells which messages are on a branch. */
export interface Branch {
  /** Latest first. */
  segments(): Segment[]
  /** Those of the candidates, all written by the session `owner`, that are on the branch. */
  contained(candidates: readonly number[], owner: string): Set<number>
}

interface BranchPosition {
  sequence: number
  parent: number | null
  turn: number
  role: string
  owner: string
}

const selectPosition = `SELECT sequence, parent, turn, role, session_id AS owner FROM messages WHERE sequence = ?`

// The plus keeps SQLite from using the index of sessions, which may have 100,000 rows; that of parents has few per parent.
const selectContained = `SELECT m.sequence FROM messages m WHERE m.sequence IN (SELECT value FROM json_each(?))
  AND (m.turn, m.sequence) <= (?, ?)
  -- A summary is on a branch only when the branch was forked from it or imported with it.
  AND (m.role <> 'summary' OR m.sequence = ? OR EXISTS (
    SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = m.session_id))
  AND NOT EXISTS (SELECT 1 FROM messages x WHERE x.parent = m.parent AND +x.session_id = m.session_id
    AND x.sequence > m.sequence AND x.sequence <= ? AND (x.turn, x.sequence) <= (?, ?))
  AND NOT (m.parent IS NULL AND m.role = 'assistant' AND EXISTS (
    SELECT 1 FROM messages x WHERE x.parent IS NULL AND +x.session_id = m.session_id
      AND x.sequence > m.sequence AND x.sequence <= ? AND x.role <> 'summary' AND (x.turn, x.sequence) <= (?, ?)))`

/** Undefined where the branch has two epochs of one session, or an epoch whose limits cannot be told: walk it then. */
export function branchSegments(connection: Connection, end: number | null): Branch | undefined {
  const ends = new Map<string, BranchPosition & { epoch: Epoch }>()
  const segments: Segment[] = []
  for (let at = end; at !== null;) {
    const position = positionAt(connection, at)
    const { owner } = position
    const isRoot = position.role === 'summary' && position.parent === null
    const epoch = isRoot ? { from: at, to: at } : epochAt(connection, owner, at)
    if (!epoch || ends.has(owner)) return undefined
    ends.set(owner, { ...position, epoch })
    // A branch that begins with a summary has nothing else of the session that wrote the summary.
    segments.push({ owner, from: epoch.from, to: isRoot ? at : lastBefore(connection, position, epoch) })
    at = isRoot ? null : origin(connection, owner, epoch)
  }
  return {
    segments: () => segments,
    contained(candidates, owner) {
      const last = ends.get(owner)
      if (!last) return new Set()
      const { turn, sequence, epoch } = last
      const json = JSON.stringify(candidates.filter((one) => one >= epoch.from && one <= epoch.to))
      const position = [turn, sequence]
      const rows = connection.all<{ sequence: number }>(
        selectContained,
        ...[json, ...position, sequence, epoch.to, ...position, epoch.to, ...position],
      )
      return new Set(rows.map((row) => row.sequence))
    },
  }
}

function positionAt(connection: Connection, sequence: number): BranchPosition {
  return connection.get<BranchPosition>(selectPosition, sequence) as BranchPosition
}

/** The last sequence before the next turn. Messages added while a turn ran are written after it, and placed before it. */
function lastBefore(
  connection: Connection,
  { owner, sequence, turn }: BranchPosition,
  { to }: Epoch,
): number {
  const sql = `SELECT sequence FROM messages WHERE session_id = ? AND sequence > ? AND sequence <= ? AND turn > ?
    ORDER BY sequence LIMIT 1`
  const next = connection.value<number>(sql, owner, sequence, to, turn)
  return next === undefined ? to : next - 1
}

/** The message before the epoch's first: another session's, or that of a deleted session of the same id. */
function origin(connection: Connection, owner: string, { from, to }: Epoch): number | null {
  const sql = `SELECT m.parent FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
    WHERE m.session_id = ? AND m.sequence >= ? AND m.sequence <= ? AND m.role <> 'summary'
      AND (p.session_id IS NOT m.session_id OR p.sequence < ? OR p.sequence > ?) ORDER BY m.sequence LIMIT 1`
  return connection.value<number | null>(sql, owner, from, to, from, to) ?? null
}
