/**
 * The epochs of a session: one from its beginning to the first time that it was cleared (or deleted, and opened again under
 * the same id), another one to the next time, and so on. The messages of an epoch have one root, and a range of sequences
 * without messages of other epochs, unless a turn was running while the session was cleared.
 */
import type { Connection } from './connection.ts'
import { lastSequenceOf } from './messages.ts'

/** The sequences of an epoch, from its first message to its last. */
export interface Epoch {
  from: number
  to: number
}

/** The roots that were found in an epoch. They do not change. */
interface KnownRoots {
  roots: readonly number[]
  /** The last sequence that was searched. */
  to: number
}

const knownRoots = new WeakMap<Connection, Map<string, KnownRoots>>()
const maxKnown = 1_000
/** The branches of a session that was cleared more often than this are walked. */
const maxRoots = 1_000

/*
 * Roots: messages whose parent is not among these sequences. A summary is none, unless the session began with it. The plus
 * keeps SQLite from using the index of sessions, which may have 100,000 rows; that of parents has few per parent.
 */
const selectRoots = `SELECT m.sequence FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
  WHERE m.session_id = ? AND m.sequence >= ? AND m.sequence <= ?
    AND (p.session_id IS NOT m.session_id OR p.sequence < ? OR p.sequence > ?)
    AND (m.role <> 'summary' OR EXISTS (
      SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = m.session_id))
  ORDER BY m.sequence LIMIT ?`

/** The epoch of a message; undefined where its limits cannot be told, so that the branch has to be walked. */
export function epochAt(connection: Connection, owner: string, sequence: number): Epoch | undefined {
  const sql = 'SELECT cleared_at FROM sessions WHERE id = ?'
  const clearedAt = connection.value<number | null>(sql, owner)
  const last = Number.MAX_SAFE_INTEGER
  if (clearedAt === null) return { from: firstFrom(connection, owner, 0), to: last }
  // The epoch since the last clearing still grows. Earlier ones, and those of a deleted session, do not.
  if (clearedAt !== undefined && sequence > clearedAt)
    return onlyEpoch(connection, owner, { from: firstFrom(connection, owner, clearedAt + 1), to: last })
  const old = { from: firstFrom(connection, owner, 0), to: clearedAt ?? lastSequenceOf(connection, owner) }
  const roots = rootsIn(connection, owner, old)
  if (roots.length === 1) return old
  const from = roots.findLast((root) => root <= sequence)
  if (from === undefined || roots.length > maxRoots) return undefined
  const next = roots.find((root) => root > sequence)
  return onlyEpoch(connection, owner, { from, to: next === undefined ? old.to : next - 1 })
}

/** The epoch, when it has one root, so that it holds the messages of no other. */
function onlyEpoch(connection: Connection, owner: string, epoch: Epoch): Epoch | undefined {
  return rootsIn(connection, owner, epoch).length === 1 ? epoch : undefined
}

/** Searches an epoch once: 100,000 messages take some 20 ms. When it has grown, only its new messages are searched. */
function rootsIn(connection: Connection, owner: string, epoch: Epoch): readonly number[] {
  let known = knownRoots.get(connection)
  if (!known || known.size >= maxKnown) knownRoots.set(connection, (known = new Map()))
  const key = `${epoch.from} ${epoch.to} ${owner}`
  const to = Math.min(epoch.to, lastSequenceOf(connection, owner))
  const before = known.get(key)
  if (before && before.to >= to) return before.roots
  const find = (from: number) =>
    connection
      .all<{ sequence: number }>(selectRoots, ...[owner, from, to, epoch.from, epoch.to, maxRoots + 1])
      .map(({ sequence }) => sequence)
  let roots = before ? [...before.roots, ...find(before.to + 1)] : find(epoch.from)
  // Messages that are added while the first turn runs are put before it, so the root may have changed.
  if (before && roots.length !== 1) roots = find(epoch.from)
  known.set(key, { roots, to })
  return roots
}

/** The session's first sequence that is not below `from`. */
function firstFrom(connection: Connection, owner: string, from: number): number {
  const sql = 'SELECT min(sequence) FROM messages WHERE session_id = ? AND sequence >= ?'
  return connection.value<number | null>(sql, owner, from) ?? from
}
