/**
 * The lines of messages that a session wrote: one from its beginning to each time that it was cleared, or deleted and made
 * anew. Each stands within sequences of its own, but for what was added while a turn ran over a clearing.
 */
import type { Connection } from './connection.ts'

/** From the first sequence of a epoch to its last. */
export interface Epoch {
  from: number
  to: number
}

/** Roots of some sequences of a session, which do not change: up to where they were looked for. */
interface Looked {
  roots: readonly number[]
  to: number
}

const looked = new WeakMap<Connection, Map<string, Looked>>()
const maxLooked = 1_000
/** A session that was cleared more often than so has its branches walked. */
const maxRoots = 1_000

/*
 * What stands on no message of these. A summary stands for itself, unless the session began with it. By the index of
 * parents, of which there are few: the plus keeps that of sessions away, where there may be 100,000.
 */
const selectRoots = `SELECT m.sequence FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
  WHERE m.session_id = ? AND m.sequence >= ? AND m.sequence <= ?
    AND (p.session_id IS NOT m.session_id OR p.sequence < ? OR p.sequence > ?)
    AND (m.role <> 'summary' OR EXISTS (
      SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = m.session_id))
  ORDER BY m.sequence LIMIT ?`

/** The epoch that has this message; none where it cannot be told from others, and the branch has to be walked. */
export function epochAt(connection: Connection, owner: string, sequence: number): Epoch | undefined {
  const sql = 'SELECT cleared_at FROM sessions WHERE id = ?'
  const clearedAt = connection.value<number | null>(sql, owner)
  const last = Number.MAX_SAFE_INTEGER
  if (clearedAt === null) return { from: firstFrom(connection, owner, 0), to: last }
  // What was written since the session was cleared goes on growing; what is left of before, or of a deleted one, does not.
  if (clearedAt !== undefined && sequence > clearedAt)
    return onlyEpoch(connection, owner, { from: firstFrom(connection, owner, clearedAt + 1), to: last })
  const old = { from: firstFrom(connection, owner, 0), to: clearedAt ?? lastOf(connection, owner) }
  const roots = rootsIn(connection, owner, old)
  if (roots.length === 1) return old
  const from = roots.findLast((root) => root <= sequence)
  if (from === undefined || roots.length > maxRoots) return undefined
  const next = roots.find((root) => root > sequence)
  return onlyEpoch(connection, owner, { from, to: next === undefined ? old.to : next - 1 })
}

function onlyEpoch(connection: Connection, owner: string, epoch: Epoch): Epoch | undefined {
  return rootsIn(connection, owner, epoch).length === 1 ? epoch : undefined
}

/** Looked for once: 100,000 messages take some 20 ms. Of a epoch that grew only what is new is looked through. */
function rootsIn(connection: Connection, owner: string, epoch: Epoch): readonly number[] {
  let known = looked.get(connection)
  if (!known || known.size >= maxLooked) looked.set(connection, (known = new Map()))
  const key = `${epoch.from} ${epoch.to} ${owner}`
  const to = Math.min(epoch.to, lastOf(connection, owner))
  const before = known.get(key)
  if (before && before.to >= to) return before.roots
  const find = (from: number) =>
    connection
      .all<{ sequence: number }>(selectRoots, ...[owner, from, to, epoch.from, epoch.to, maxRoots + 1])
      .map(({ sequence }) => sequence)
  let roots = before ? [...before.roots, ...find(before.to + 1)] : find(epoch.from)
  // What is added while the first turn runs becomes the root in its place.
  if (before && roots.length !== 1) roots = find(epoch.from)
  known.set(key, { roots, to })
  return roots
}

function firstFrom(connection: Connection, owner: string, from: number): number {
  const sql = 'SELECT min(sequence) FROM messages WHERE session_id = ? AND sequence >= ?'
  return connection.value<number | null>(sql, owner, from) ?? from
}

function lastOf(connection: Connection, owner: string): number {
  const sql = 'SELECT max(sequence) FROM messages WHERE session_id = ?'
  return connection.value<number | null>(sql, owner) ?? 0
}
