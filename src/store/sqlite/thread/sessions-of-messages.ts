/** Which session has a message in its history. What none has is no hit of a search. */
import type { Connection } from './connection.ts'

/** Hits that were found last: one of them is most often on the way from the next one to its session. */
const maxNear = 20

/*
 * A reply that was repeated is all that stays when no history has it any more, and nothing follows it: what has a message
 * behind it is in some history. While a reply is being repeated its session reads the new one.
 */
const selectNear = `SELECT m.sequence, EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence) AS isFollowed,
    coalesce(
      (SELECT o.id FROM sessions o WHERE o.id = m.session_id AND o.cleared_at IS NULL
        AND EXISTS (SELECT 1 FROM messages c WHERE c.parent = m.sequence AND +c.session_id = o.id)),
      (SELECT s.id FROM sessions s WHERE s.head = m.sequence AND NOT EXISTS (
        SELECT 1 FROM running r JOIN messages f ON f.sequence = r.first WHERE r.session_id = s.id AND f.parent IS NOT s.head
      ) ORDER BY s.id = m.session_id DESC LIMIT 1),
      (SELECT s.id FROM sessions s WHERE s.summary = m.sequence ORDER BY s.id = m.session_id DESC LIMIT 1)
    ) AS holder
  FROM messages m WHERE m.sequence IN (SELECT value FROM json_each(?))`

const selectBelow = `WITH RECURSIVE below (sequence) AS (
    SELECT sequence FROM messages WHERE parent = ?
    UNION ALL SELECT c.sequence FROM below b JOIN messages c ON c.parent = b.sequence
  ) SELECT sequence, coalesce(
      (SELECT id FROM sessions WHERE head = below.sequence LIMIT 1),
      (SELECT session_id FROM running WHERE reply = below.sequence)
    ) AS holder
  FROM below WHERE holder IS NOT NULL OR sequence IN (SELECT value FROM json_each(?)) LIMIT 1`

interface Near {
  sequence: number
  isFollowed: 0 | 1
  holder: string | null
}

/**
 * A session for each of the messages that some history has: the one that wrote it, or, where that was deleted or cleared,
 * a fork that reads it still.
 */
export function sessionsOfMessages(connection: Connection, sequences: readonly number[]): Map<number, string> {
  const found = new Map<number, string>()
  const open: number[] = []
  for (const near of connection.all<Near>(selectNear, JSON.stringify(sequences))) {
    if (near.holder !== null) found.set(near.sequence, near.holder)
    else if (near.isFollowed) open.push(near.sequence)
  }
  const last = [...found.keys()].slice(-maxNear)
  // The newest first, so that the way from an older one ends there.
  for (const sequence of open.sort((one, other) => other - one)) {
    type Below = { sequence: number; holder: string | null }
    const below = connection.get<Below>(selectBelow, sequence, JSON.stringify(last))
    const holder = below?.holder ?? (below && found.get(below.sequence))
    if (holder === undefined) continue
    found.set(sequence, holder)
    last.push(sequence)
    if (last.length > maxNear) last.shift()
  }
  return found
}
