/**
 * The full-text index. It follows the commits in the writer's idle time: kept up by a trigger it would make appends five
 * times slower. Found is what is newest, so that a word of every message costs no more than a rare one.
 */
import type { SearchQuery, SearchRow } from '../protocol.ts'
import { branchSegments } from './branch-segments.ts'
import type { Segment } from './branch-segments.ts'
import { BranchWalk } from './branch-walk.ts'
import type { Connection } from './connection.ts'
import { sessionsOfMessages } from './sessions-of-messages.ts'
import { messageAt } from './messages.ts'

/** Of one step: some 10 ms. */
const maxStepRows = 300
const maxStepBytes = 256 * 1024
const snippetTokens = 24
/** Of a page behind the first, and those of it whose history is looked for at once. */
const pageHits = 16_384
const checkedHits = 512

const snippet = `snippet(message_index, 0, '**', '**', '…', ${snippetTokens}) AS snippet`
const selectHits = `SELECT rowid AS sequence, ${snippet}
  FROM message_index WHERE message_index MATCH ? AND rowid >= ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?`
const selectPage = `SELECT rowid AS sequence
  FROM message_index WHERE message_index MATCH ? AND rowid >= ? AND rowid <= ? ORDER BY rowid DESC LIMIT ?`
const selectSnippets = `SELECT rowid AS sequence, ${snippet}
  FROM message_index WHERE message_index MATCH ? AND rowid IN (SELECT value FROM json_each(?)) ORDER BY rowid DESC`

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
  return unindexedCount(connection)
}

export function unindexedCount(connection: Connection): number {
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

/** Newest first. Of a session: what its branch passes, and its summary. Of the store: what any of its sessions gives. */
export function search(connection: Connection, query: SearchQuery): SearchRow[] {
  return connection.snapshot(() => {
    const { terms, sessionId, limit } = query
    const found =
      sessionId === undefined
        ? heldHits(connection, terms, everything, limit, (sequences) => sessionsOfMessages(connection, sequences))
        : searchBranch(connection, terms, sessionId, limit)
    return found.map(({ sequence, ...hit }) => ({ ...hit, message: messageAt(connection, sequence) }))
  })
}

interface Hit {
  sequence: number
  snippet: string
}

/** A hit, and a session that has it in its history. */
type HeldHit = Hit & { sessionId: string }

/** Sequences from `from` to `to`, of one session or of all. */
type Range = Omit<Segment, 'owner'> & { owner?: string }
const everything: Range = { from: 0, to: Number.MAX_SAFE_INTEGER }

/** The last walk of each connection: who searches a session does so again. */
const walks = new WeakMap<Connection, BranchWalk>()

/** A fork finds what it segments with its origins, too: it wrote its own messages after all of theirs. */
function searchBranch(
  connection: Connection,
  terms: readonly string[],
  id: string,
  limit: number,
): HeldHit[] {
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
  const beside = new Set(running?.sequences)
  if (session.summary !== null) beside.add(session.summary)
  const find = ({ owner, ...range }: Segment, wanted: number) =>
    heldHits(connection, terms, { owner, ...range }, wanted, (sequences) => {
      const passed = branch.passed(
        sequences.filter((sequence) => !beside.has(sequence)),
        owner,
      )
      const held = sequences.filter((sequence) => beside.has(sequence) || passed.has(sequence))
      return new Map(held.map((sequence) => [sequence, id]))
    })
  const clearedAt = session.clearedAt ?? 0
  const found = find({ owner: id, from: clearedAt + 1, to: lastOf(connection, id) }, limit)
  if (session.forkedFrom === null) return found
  for (const segment of found.length < limit ? branch.segments() : []) {
    // Its own id may have been that of an origin which was deleted.
    const to = segment.owner === id ? Math.min(segment.to, clearedAt) : segment.to
    if (found.length < limit) found.push(...find({ ...segment, to }, limit - found.length))
  }
  if (session.summary !== null && !found.some(({ sequence }) => sequence === session.summary)) {
    const { sessionId: owner } = messageAt(connection, session.summary)
    // One that it was forked with is on no branch, and may be newer than what is.
    found.push(...find({ owner, from: session.summary, to: session.summary }, 1))
  }
  return found.sort((one, other) => other.sequence - one.sequence).slice(0, limit)
}

/** The messages of a turn that is written, which are the end of its branch, and what they stand on. */
function runningTurn(connection: Connection, id: string) {
  const turn = connection.get<{ reply: number; first: number }>(
    'SELECT reply, first FROM running WHERE session_id = ?',
    id,
  )
  if (!turn) return undefined
  const sequences: number[] = []
  let parent: number | null = turn.reply
  for (let at = 0; at !== turn.first && parent !== null;) {
    at = parent
    sequences.push(at)
    parent = connection.value<number | null>('SELECT parent FROM messages WHERE sequence = ?', at) ?? null
  }
  return { sequences, parent }
}

function walkTo(connection: Connection, end: number | null): BranchWalk {
  const last = walks.get(connection)
  const known = last?.isWorthKeeping ? last : undefined
  if (known?.end === end) return known
  const walk = new BranchWalk(connection, end, known)
  walks.set(connection, walk)
  return walk
}

/** A session that wrote nothing has nothing to be looked through. */
function lastOf(connection: Connection, owner: string): number {
  const sql = 'SELECT max(sequence) FROM messages WHERE session_id = ?'
  return connection.value<number | null>(sql, owner) ?? 0
}

/**
 * Few messages are in no history, such as replies that were repeated. Where there are thousands of them the next page is
 * much larger, since each looks through the whole index again (bounds of a sequence do not help it to find its place), and
 * has no snippets, which cost the most.
 */
function heldHits(
  connection: Connection,
  terms: readonly string[],
  range: Range,
  limit: number,
  holdersOf: (sequences: readonly number[]) => Map<number, string>,
): HeldHit[] {
  const match = matchOf(terms, range.owner)
  const first = connection.all<Hit>(selectHits, match, range.from, range.to, limit)
  const held = holdersOf(first.map(({ sequence }) => sequence))
  const found = first.filter(({ sequence }) => held.has(sequence))
  for (let page: readonly { sequence: number }[] = first, size = limit; found.length < limit;) {
    const last = page.at(-1)?.sequence
    if (last === undefined || page.length < size) break
    page = connection.all<{ sequence: number }>(selectPage, match, range.from, last - 1, (size = pageHits))
    const wanted = limit - found.length
    const sequences: number[] = []
    for (let at = 0; at < page.length && sequences.length < wanted; at += checkedHits) {
      const checked = page.slice(at, at + checkedHits).map(({ sequence }) => sequence)
      const more = holdersOf(checked)
      more.forEach((holder, sequence) => held.set(sequence, holder))
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
