/**
 * The messages between a store and the thread that has its file open.
 *
 * Room `store/sqlite`: the SQLite store, on the thread of its caller. Imported by `blocking/thread`, `index`,
 * `session`, `store/sqlite/thread`, `workers`.
 */
import type { MessageStatus, SessionRecord, StoreCheck, StoredContent, Writer } from '../store.ts'
import type { Answer } from '../../threads/answer.ts'

/** The file of a store. It is sent with every task, since the task's thread may be new and has to open it then. */
export interface StoreFile {
  /** Absolute. */
  path: string
  durability: 'full' | 'normal'
  busyTimeoutMs: number
  /** The store had opened this file before: a file that is missing now is an error, and is not created again. */
  wasOpened: boolean
  /** The store that sends the task. Turns of its process are alive, except those of `lostThreads`. */
  writer: Writer
  /** Ids of this process's threads that have died. */
  lostThreads: number[]
}

/** A message as in its table: `content`, `usage`, `timing`, `warnings` and `error` are JSON. */
export interface MessageRow extends ReplyRow {
  sequence: number
  id: string
  parentId: string | null
  sessionId: string
  turn: number
  role: StoredContent['role']
  content: string
  status: MessageStatus
  /** Milliseconds since 1970. */
  createdAt: number
  operationId: string | null
}

/** The facts of a reply besides its content: columns of its message. */
export interface ReplyRow {
  provider: string | null
  model: string | null
  responseId: string | null
  finishReason: string | null
  rawFinishReason: string | null
  refusal: string | null
  usage: string | null
  costUsd: number | null
  timing: string | null
  warnings: string | null
  error: string | null
}

/** A message to be written: its content as JSON, and its text, for search and for readers of the file. */
export interface NewMessageRow {
  id: string
  role: StoredContent['role']
  content: string
  text: string
}

/** A message to be added. `turn` counts from 0 within the messages that are added together. */
export interface AddedMessageRow extends NewMessageRow {
  status: MessageStatus
  turn: number
  reply: ReplyRow
}

/** JSON of a list of `AddedMessageRow`s, in memory that the threads share. */
export type RowSlice = Uint8Array<SharedArrayBuffer>

export interface NewSessionRow {
  id: string
  system: string | null
  metadata: string | null
}

/** A session between the threads: `metadata` is JSON, times are milliseconds since 1970. */
export type SessionRow = Omit<SessionRecord, 'createdAt' | 'updatedAt' | 'metadata'> & {
  createdAt: number
  updatedAt: number
  metadata?: string
}

export interface BeginTurn {
  kind: 'begin-turn'
  sessionId: string
  replyId: string
  messages: NewMessageRow[]
  writer: Writer
  operationId?: string
  repeats?: string
}

export type TurnAnswerRow =
  | { kind: 'begun'; turn: number }
  | { kind: 'busy'; replyId: string; operationId?: string; writer: Writer; beat: number }
  | { kind: 'done'; reply: MessageRow }
  | { kind: 'stale' }

/** A write. Its ids make it land once, however often it is sent. */
export type StoreWrite =
  | { kind: 'open-session'; session: NewSessionRow }
  | { kind: 'update-session'; id: string; system?: string; metadata?: string }
  | { kind: 'fork-session'; id: string; fork: NewSessionRow; at?: string }
  | { kind: 'delete-session'; id: string }
  | { kind: 'clear-session'; id: string }
  | { kind: 'add-messages'; sessionId: string; messages: AddedMessageRow[] }
  | { kind: 'import-session'; session: NewSessionRow; messages: RowSlice[] }
  | { kind: 'compact'; sessionId: string; summary: NewMessageRow; reply: ReplyRow; upTo: string }
  | BeginTurn
  | { kind: 'append-delta'; replyId: string; number: number; parts: string; isAnew: boolean }
  | {
      kind: 'end-turn'
      replyId: string
      status: MessageStatus
      content: string
      text: string
      reply: ReplyRow
    }
  | { kind: 'interrupt-turn'; replyId: string; beat: number }

/** The writes of one kind. */
export type StoreWriteOf<Kind extends StoreWrite['kind']> = Extract<StoreWrite, { kind: Kind }>

/** Where added messages were put: one behind the other. */
export interface AddedRow {
  /** The first message's; each further one has the next. */
  sequence: number
  /** The first message's. */
  turn: number
  /** The message before the first. */
  parentId: string | null
  createdAt: number
}

/** The result of each kind of write. */
export interface WriteValues {
  'open-session': SessionRow
  'update-session': SessionRow
  'fork-session': SessionRow
  'delete-session': null
  'clear-session': null
  'add-messages': AddedRow
  'import-session': SessionRow
  compact: SessionRow
  'begin-turn': TurnAnswerRow
  'append-delta': null
  'end-turn': null
  'interrupt-turn': null
}

/** A page of a branch. It begins at the branch's end, before a message, or where the last page ended. */
export interface BranchPage {
  sessionId: string
  before?: string
  /** The `next` of the last page. */
  from?: BranchCursor
  includeCompacted: boolean
  /** Give the summary also where the page ends before it. */
  includeSummary: boolean
  /** Most rows, without the summary. */
  limit: number
}

/** Where the next page begins. */
export interface BranchCursor {
  /** The sequence of its first row. */
  cursor: number
  /** Names the state of the branch. When it has changed, reading starts again. */
  generation: string
}

export interface SearchQuery {
  terms: string[]
  sessionId?: string
  limit: number
}

export interface SearchRow {
  message: MessageRow
  sessionId: string
  snippet: string
}

/** A task of the store's thread. Writes are gathered and sent together; each other job is a task of its own. */
export type StoreJob =
  | { kind: 'write'; writes: StoreWrite[] }
  | { kind: 'find-session'; id: string }
  | { kind: 'list-sessions'; limit: number; offset: number }
  | { kind: 'list-changed'; after: number; limit: number }
  | { kind: 'find-operation'; sessionId: string; operationId: string }
  | { kind: 'read-branch'; page: BranchPage }
  | { kind: 'index' }
  | { kind: 'search'; query: SearchQuery }
  | { kind: 'backup'; id: string; path: string }
  | { kind: 'vacuum' }
  | { kind: 'check' }
  | { kind: 'close' }

/** The result of each kind of job. */
export interface StoreValues {
  write: Answer<WriteValues[keyof WriteValues]>[]
  'find-session': SessionRow | null
  'list-sessions': SessionRow[]
  /** Sessions whose change counter is above `after`, lowest first, and the counter of the last. */
  'list-changed': { rows: SessionRow[]; last: number }
  'find-operation': MessageRow | null
  /**
   * Newest first. Without `next` this is the last page. `summary` was asked for, and comes before these rows. `stale`: the
   * branch was cleared or compacted since the last page.
   */
  'read-branch': { rows: MessageRow[]; next?: BranchCursor; summary?: MessageRow } | 'stale'
  /** How many messages are still to be indexed. */
  index: number
  /** Newest first. */
  search: SearchRow[]
  /** The job is sent again until it is `done`. */
  backup: 'running' | 'done'
  vacuum: null
  check: StoreCheck
  close: null
}

export interface StoreTask {
  file: StoreFile
  job: StoreJob
}
