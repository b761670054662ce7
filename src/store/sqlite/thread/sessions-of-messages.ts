/** Finds a session whose history has a message. Messages in no history are not hits of a search. */
import type { Connection } from './connection.ts'

/** How many recent hits are tried. The way from the next hit to its session most often passes one of them. */
const maxRecent = 20

/*
 * A message that another one follows is in some history. A message in no history is a repeated reply, which nothing
 * follows. While a reply is being repeated, its session's history has the new one.
 */
const selectCandidates = `SELECT m.sequence, EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence) AS isFollowed,
    coalesce(
      (SELECT o.id FROM sessions o WHERE o.id = m.session_id AND o.cleared_at IS NULL
        AND EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = o.id)),
      (SELECT s.id FROM sessions s WHERE s.head = m.sequence AND NOT EXISTS (
        SELECT 1 FROM running r JOIN messages f ON f.sequence = r.first WHERE r.session_id = s.id AND f.parent IS NOT s.head
      ) ORDER BY s.id = m.session_id DESC LIMIT 1),
      (SELECT s.id FROM sessions s WHERE s.summary = m.sequence ORDER BY s.id = m.session_id DESC LIMIT 1)
    ) AS sessionId
  FROM messages m WHERE m.sequence IN (SELECT value FROM json_each(?))`

const selectDescendant = `WITH RECURSIVE below (sequence) AS (
    SELECT sequence FROM messages WHERE parent = ?
    UNION ALL SELECT c.sequence FROM below b JOIN messages c ON c.parent = b.sequence
  ) SELECT sequence, coalesce(
      (SELECT id FROM sessions WHERE head = below.sequence LIMIT 1),
      (SELECT session_id FROM running WHERE reply = below.sequence)
    ) AS sessionId
  FROM below WHERE sessionId IS NOT NULL OR sequence IN (SELECT value FROM json_each(?)) LIMIT 1`

interface Candidate {
  sequence: number
  isFollowed: 0 | 1
  /** A session that can be told from the message's own row and its neighbours. */
  sessionId: string | null
}

/**
 * Gives a session for each message that is in some history: the session that wrote it or, where that was deleted or
 * cleared, a fork that still reads it.
 */
export function sessionsOfMessages(
  connection: Connection,
  sequences: readonly number[],
): Map<number, string> {
  const found = new Map<number, string>()
  const open: number[] = []
  for (const candidate of connection.all<Candidate>(selectCandidates, JSON.stringify(sequences))) {
    if (candidate.sessionId !== null) found.set(candidate.sequence, candidate.sessionId)
    else if (candidate.isFollowed) open.push(candidate.sequence)
  }
  const recent = [...found.keys()].slice(-maxRecent)
  // Newest first, so that the search from an older message ends at a newer one whose session is known.
  for (const sequence of open.sort((one, other) => other - one)) {
    type Descendant = { sequence: number; sessionId: string | null }
    const descendant = connection.get<Descendant>(selectDescendant, sequence, JSON.stringify(recent))
    const sessionId = descendant?.sessionId ?? (descendant && found.get(descendant.sequence))
    if (sessionId === undefined) continue
    found.set(sequence, sessionId)
    recent.push(sequence)
    if (recent.length > maxRecent) recent.shift()
  }
  return found
}
