/** Reads a branch page by page, from its end to its beginning. A running turn is at the end. */
import type { BranchPage, StoreValues, MessageRow } from '../protocol.ts'
import type { Connection } from './connection.ts'
import {
  deltasOf,
  branchHas,
  messageAt,
  messageColumns,
  sequenceOnBranch,
  sequenceOf,
  sessionEnds,
} from './messages.ts'
import type { SessionEnds } from './messages.ts'

const selectPage = `WITH RECURSIVE branch (sequence, parent, depth) AS (
    SELECT sequence, parent, 1 FROM messages WHERE sequence = ?
    UNION ALL
    SELECT m.sequence, m.parent, b.depth + 1 FROM branch b JOIN messages m ON m.sequence = b.parent LIMIT ?
  ) SELECT ${messageColumns}, m.parent AS parent
  FROM branch b JOIN messages m ON m.sequence = b.sequence ORDER BY b.depth`

export function readBranch(connection: Connection, page: BranchPage): StoreValues['read-branch'] {
  return connection.snapshot(() => readPage(connection, page))
}

function readPage(connection: Connection, page: BranchPage): StoreValues['read-branch'] {
  const ends = sessionEnds(connection, page.sessionId)
  const generation = generationOf(connection, ends, page.sessionId)
  if (page.from && page.from.generation !== generation) return 'stale'
  const from = page.from?.cursor ?? start(connection, ends, page)
  if (from === null || page.limit < 1) return { rows: [] }
  const found = connection.all<MessageRow & { parent: number | null }>(selectPage, from, page.limit)
  if (found.length === 0) return 'stale'
  const stop = page.includeCompacted ? -1 : found.findIndex(({ sequence }) => sequence === ends.compactedTo)
  const rows = (stop < 0 ? found : found.slice(0, stop)).map(({ parent: _parent, ...row }) =>
    row.status === 'streaming'
      ? { ...row, content: JSON.stringify(deltasOf(connection, row.sequence)) }
      : row,
  )
  const summaryRow = () => messageAt(connection, ends.summary as number)
  if (stop >= 0)
    return page.includeSummary ? { rows, summary: summaryRow() } : { rows: [...rows, summaryRow()] }
  const next = found.at(-1)?.parent ?? null
  if (next === null) return { rows }
  const isBefore = page.includeSummary && !page.includeCompacted && ends.summary !== null
  return { rows, next: { cursor: next, generation }, ...(isBefore ? { summary: summaryRow() } : {}) }
}

/** Changes when the branch is cleared or compacted. Added messages do not change it: they lie behind every cursor. */
function generationOf(connection: Connection, { summary, compactedTo }: SessionEnds, id: string): string {
  const sql = 'SELECT cleared_at FROM sessions WHERE id = ?'
  return JSON.stringify([connection.value<number | null>(sql, id), summary, compactedTo])
}

function start(connection: Connection, ends: SessionEnds, page: BranchPage): number | null {
  const running = connection.value<number>('SELECT reply FROM running WHERE session_id = ?', page.sessionId)
  const end = running ?? ends.head
  if (page.before === undefined) return end
  const summary = page.includeCompacted ? null : ends.summary
  const before = sequenceOf(connection, page.before)
  // The summary is the beginning: neither it nor a message that it replaces has any before it.
  if (before !== undefined && before === summary) return null
  const sequence = sequenceOnBranch(connection, end, page.before)
  if (summary !== null && branchHas(connection, ends.compactedTo, sequence)) return null
  return connection.value<number | null>('SELECT parent FROM messages WHERE sequence = ?', sequence) ?? null
}
