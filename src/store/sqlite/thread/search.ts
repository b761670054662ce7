/**
 * The full-text index. It is brought up to date in the thread's idle time: a trigger would make appends five times slower.
 * A search gives the newest hits, so that a word of every message costs no more than a rare one.
 */
import type { SearchQuery, SearchRow } from '../protocol.ts'
import { branchSegments } from './branch-segments.ts'
import type { Segment } from './branch-segments.ts'
import { BranchWalk } from './branch-walk.ts'
import type { Connection } from './connection.ts'
import { sessionsOfMessages } from './sessions-of-messages.ts'
import { lastSequenceOf, messageAt } from './messages.ts'
import { runningTurn, sequencesOfTurn } from './running-turn.ts'

/** Limits of one step of indexing: some 10 ms. */
const maxStepRows = 300
const maxStepBytes = 256 * 1024
const snippetTokens = 24
/** Hits of each page after the first. */
const pageHits = 16_384
/** Hits whose sessions are looked for at once. */
const checkedHits = 512

const snippet = `snippet(message_index, 0, '**', '**', '…', ${snippetTokens}) AS snippet`
const selectHits = `SELECT rowid AS sequence, ${snippet}
  FROM message_index WHERE message_index MATCH ? AND rowid >= ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?`
const selectPage = `SELECT rowid AS sequence
  FROM message_index WHERE message_index MATCH ? AND rowid >= ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?`
const selectSnippets = `SELECT rowid AS sequence, ${snippet}
  FROM message_index WHERE message_index MATCH ? AND rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid DESC`

/** Indexes some of the messages that are not indexed yet. Gives how many are left. */
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
  return unindexedCount(connection)
}

/** How many messages are not indexed yet. */
export function unindexedCount(connection: Connection): number {
  return connection.value<number>('SELECT count(*) FROM outstanding') as number
}

/** Takes messages out of the index before they change or are deleted. FTS5 must be given the texts that it has indexed. */
export function unindex(connection: Connection, sequences: readonly number[]): void {
  const json = JSON.stringify(sequences)
  connection.run(
    `INSERT INTO message_index (message_index, rowid, text, owner)
      SELECT 'delete', sequence, text, owner FROM searchable WHERE sequence IN (SELECT value FROM json_each(?))`,
    json,
  )
  connection.run('DELETE FROM outstanding WHERE sequence IN (SELECT value FROM json_each(?))', json)
}

/** Searches one session (its branch and its summary), or the histories of all sessions. Newest first. */
export function search(connection: Connection, query: SearchQuery): SearchRow[] {
  return connection.snapshot(() => {
    const { terms, sessionId, limit } = query
    const found =
      sessionId === undefined
        ? hitsInHistories(connection, terms, everything, limit, (sequences) =>
            sessionsOfMessages(connection, sequences),
          )
        : searchBranch(connection, terms, sessionId, limit)
    return found.map(({ sequence, ...hit }) => ({ ...hit, message: messageAt(connection, sequence) }))
  })
}

interface Hit {
  sequence: number
  snippet: string
}

/** A hit, and a session whose history has it. */
type SessionHit = Hit & { sessionId: string }

/** Sequences from `from` to `to`, written by the session `owner` or by any. */
type Range = Omit<Segment, 'owner'> & { owner?: string }
const everything: Range = { from: 0, to: Number.MAX_SAFE_INTEGER }

/** The last walk of each connection: a session is often searched several times in a row. */
const walks = new WeakMap<Connection, BranchWalk>()

/**
 * Searches a session's own messages first, then those that it shares with the sessions it was forked from: the shared ones
 * are older.
 */
function searchBranch(
  connection: Connection,
  terms: readonly string[],
  id: string,
  limit: number,
): SessionHit[] {
  const session = connection.get<{
    head: number | null
    summary: number | null
    forkedFrom: string | null
    clearedAt: number | null
  }>(
    'SELECT head, summary, forked_from AS forkedFrom, cleared_at AS clearedAt FROM sessions WHERE id = ?',
    id,
  )
  if (!session) return []
  const running = runningTurn(connection, id)
  const end = running ? running.parent : session.head
  const branch = branchSegments(connection, end) ?? walkTo(connection, end)
  const beside = new Set(running && sequencesOfTurn(connection, running))
  if (session.summary !== null) beside.add(session.summary)
  const find = ({ owner, ...range }: Segment, wanted: number) =>
    hitsInHistories(connection, terms, { owner, ...range }, wanted, (sequences) => {
      const onBranch = branch.contained(
        sequences.filter((sequence) => !beside.has(sequence)),
        owner,
      )
      const held = sequences.filter((sequence) => beside.has(sequence) || onBranch.has(sequence))
      return new Map(held.map((sequence) => [sequence, id]))
    })
  const clearedAt = session.clearedAt ?? 0
  const found = find({ owner: id, from: clearedAt + 1, to: lastSequenceOf(connection, id) }, limit)
  if (session.forkedFrom === null) return found
  for (const segment of found.length < limit ? branch.segments() : []) {
    // A deleted origin may have had this session's id.
    const to = segment.owner === id ? Math.min(segment.to, clearedAt) : segment.to
    if (found.length < limit) found.push(...find({ ...segment, to }, limit - found.length))
  }
  if (session.summary !== null && !found.some(({ sequence }) => sequence === session.summary)) {
    const { sessionId: owner } = messageAt(connection, session.summary)
    // The summary that a fork took over is on no branch, and may be newer than the hits.
    found.push(...find({ owner, from: session.summary, to: session.summary }, 1))
  }
  return found.sort((one, other) => other.sequence - one.sequence).slice(0, limit)
}

function walkTo(connection: Connection, end: number | null): BranchWalk {
  const last = walks.get(connection)
  const known = last?.isWorthKeeping ? last : undefined
  if (known?.end === end) return known
  const walk = new BranchWalk(connection, end, known)
  walks.set(connection, walk)
  return walk
}

/**
 * The newest hits that are in a history. Few messages are in none, such as repeated replies. When the first page has too
 * few hits, the next page is much larger, since each query searches the whole index again (FTS5 cannot use the bounds of
 * the sequence), and it is read without snippets, which cost the most.
 */
function hitsInHistories(
  connection: Connection,
  terms: readonly string[],
  range: Range,
  limit: number,
  sessionsOf: (sequences: readonly number[]) => Map<number, string>,
): SessionHit[] {
  const match = matchOf(terms, range.owner)
  const first = connection.all<Hit>(selectHits, match, range.from, range.to, limit)
  const held = sessionsOf(first.map(({ sequence }) => sequence))
  const found = first.filter(({ sequence }) => held.has(sequence))
  for (let page: readonly { sequence: number }[] = first, size = limit; found.length < limit;) {
    const last = page.at(-1)?.sequence
    if (last === undefined || page.length < size) break
    page = connection.all<{ sequence: number }>(selectPage, match, range.from, last - 1, (size = pageHits))
    const wanted = limit - found.length
    const sequences: number[] = []
    for (let at = 0; at < page.length && sequences.length < wanted; at += checkedHits) {
      const checked = page.slice(at, at + checkedHits).map(({ sequence }) => sequence)
      const more = sessionsOf(checked)
      more.forEach((sessionId, sequence) => held.set(sequence, sessionId))
      sequences.push(...checked.filter((sequence) => more.has(sequence)))
    }
    found.push(...connection.all<Hit>(selectSnippets, match, JSON.stringify(sequences.slice(0, wanted))))
  }
  return found.map((hit) => ({ ...hit, sessionId: held.get(hit.sequence) as string }))
}

function matchOf(terms: readonly string[], owner: string | undefined): string {
  const words = terms.map((term) => `"${term}"`).join(' AND ')
  const own =
    owner === undefined ? '' : ` AND {owner} : "${Buffer.from(owner).toString('hex').toUpperCase()}"`
  return `{text} : (${words})${own}`
}
