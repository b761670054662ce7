/**
 * The schema, as numbered steps. A released step never changes: a mistake in it is mended by a later step. `user_version`
 * is the number of steps that a file has had.
 */
import type { Database } from 'better-sqlite3'

/** "conv" in ASCII: it distinguishes a store from the databases of other programs. */
export const applicationId = 0x636f6e76

const first = `
CREATE TABLE messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  -- The sequence of the message before it. A branch of 100,000 messages is walked twice as fast by sequences as by ids.
  parent INTEGER REFERENCES messages (sequence) DEFERRABLE INITIALLY DEFERRED,
  -- No foreign key, since forks read messages of sessions that were deleted.
  session_id TEXT NOT NULL,
  turn INTEGER NOT NULL,
  role TEXT NOT NULL,
  status TEXT NOT NULL,
  text TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  operation_id TEXT,
  provider TEXT,
  model TEXT,
  response_id TEXT,
  finish_reason TEXT,
  raw_finish_reason TEXT,
  refusal TEXT,
  usage TEXT,
  cost_usd REAL,
  timing TEXT,
  warnings TEXT,
  error TEXT
) STRICT;
CREATE INDEX messages_parent ON messages (parent);
CREATE INDEX messages_session ON messages (session_id);
CREATE INDEX messages_operation ON messages (session_id, operation_id) WHERE operation_id IS NOT NULL;

CREATE TABLE sessions (
  id TEXT NOT NULL PRIMARY KEY,
  system TEXT,
  metadata TEXT,
  head INTEGER REFERENCES messages (sequence) DEFERRABLE INITIALLY DEFERRED,
  forked_from TEXT,
  -- The head with which it was forked.
  forked_at INTEGER,
  -- The last message before the session was cleared; forks may still read it.
  cleared_at INTEGER,
  summary INTEGER REFERENCES messages (sequence) DEFERRABLE INITIALLY DEFERRED,
  compacted_to INTEGER REFERENCES messages (sequence) DEFERRABLE INITIALLY DEFERRED,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  -- Counts the changes of the whole store. Times do not serve: clocks step back.
  change INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sessions_change ON sessions (change);
CREATE INDEX sessions_head ON sessions (head);
CREATE INDEX sessions_summary ON sessions (summary) WHERE summary IS NOT NULL;
CREATE INDEX sessions_compacted_to ON sessions (compacted_to) WHERE compacted_to IS NOT NULL;

-- Turns that are being written, at most one per session.
CREATE TABLE running (
  session_id TEXT NOT NULL PRIMARY KEY,
  reply INTEGER NOT NULL UNIQUE REFERENCES messages (sequence) ON DELETE CASCADE,
  -- The first message of the turn. Messages that are added meanwhile are put before it.
  first INTEGER NOT NULL,
  writer TEXT NOT NULL,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL,
  started TEXT NOT NULL,
  beat INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The content that has arrived of running replies.
CREATE TABLE deltas (
  reply INTEGER NOT NULL REFERENCES messages (sequence) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  parts TEXT NOT NULL,
  PRIMARY KEY (reply, number)
) STRICT, WITHOUT ROWID;

-- Messages that the index does not have yet. It is brought up to date when the thread is idle.
CREATE TABLE outstanding (sequence INTEGER PRIMARY KEY) STRICT;
CREATE VIEW searchable AS
  SELECT sequence, text, hex(session_id) AS owner FROM messages
  WHERE status <> 'streaming' AND sequence NOT IN (SELECT sequence FROM outstanding);
CREATE VIRTUAL TABLE message_index USING fts5 (
  text, owner, content = 'searchable', content_rowid = 'sequence', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE VIEW conversations AS
  SELECT s.id, coalesce(h.turn, 0) AS turns, datetime(s.created_at / 1000, 'unixepoch') AS created,
    datetime(s.updated_at / 1000, 'unixepoch') AS updated, s.forked_from, s.system,
    substr(h.text, 1, 80) AS last_text
  FROM sessions s LEFT JOIN messages h ON h.sequence = s.head
  ORDER BY s.change DESC;
CREATE VIEW transcript AS
  SELECT m.session_id AS session, m.turn, m.role,
    CASE m.text WHEN '' THEN coalesce(m.refusal, m.content) ELSE m.text END AS text, m.status, m.model,
    datetime(m.created_at / 1000, 'unixepoch') AS created, m.id, p.id AS parent_id
  FROM messages m LEFT JOIN messages p ON p.sequence = m.parent
  ORDER BY m.session_id, m.sequence;
`

const migrations: readonly string[] = [first]
export const schemaVersion = migrations.length

/** Brings the database to this version of the schema. The caller has begun a transaction. */
export function migrate(database: Database): void {
  const version = database.pragma('user_version', { simple: true }) as number
  for (const step of migrations.slice(version)) database.exec(step)
  if (version === schemaVersion) return
  database.pragma(`application_id = ${applicationId}`)
  database.pragma(`user_version = ${schemaVersion}`)
}
