/** What crosses to the thread that has a store's file open. */
import type { MessageStatus, SessionRecord, StoreCheck, StoredContent, Writer } from '../store.ts'
import type { Answer } from '../../threads/answer.ts'

/** The file of a store, sent with every task: the thread that runs it may be a new one that has yet to open it. */
export interface StoreFile {
  /** Absolute. */
  path: string
  durability: 'full' | 'normal'
  busyTimeoutMs: number
  /** It was open before: a file that is missing now is not made anew. */
  wasOpened: boolean
  /** Who asks: turns of this process are never those of a dead one, but for those of its threads that died. */
  writer: Writer
  lostThreads: number[]
}

/** A message as its table has it, JSON in `content`, `usage`, `timing`, `warnings` and `error`. */
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

/** What is known of a reply beside its content. */
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

/** A message to be written: its content as JSON, and as the text that is read and searched. */
export interface NewMessageRow {
  id: string
  role: StoredContent['role']
  content: string
  text: string
}

/** One that was said elsewhere. `turn` counts from 0 within the messages that are added. */
export interface AddedMessageRow extends NewMessageRow {
  status: MessageStatus
  turn: number
  reply: ReplyRow
}

/** JSON of some `AddedMessageRow`s, in memory that threads share. */
export type RowSlice = Uint8Array<SharedArrayBuffer>

export interface NewSessionRow {
  id: string
  system: string | null
  metadata: string | null
}

/** A session as it crosses: `metadata` is JSON, times are milliseconds since 1970. */
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

/** A write of a store. Each lands once however often it is sent, by the ids in it. */
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

/** Where added messages stand: one behind the other. */
export interface AddedRow {
  /** Of the first. */
  sequence: number
  turn: number
  parentId: string | null
  createdAt: number
}

/** What each write gives. */
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

/** Where a page of a branch begins: at the head, before a message, or where the page before it ended. */
export interface BranchPage {
  sessionId: string
  before?: string
  /** The `next` of the page before. */
  from?: BranchCursor
  includeCompacted: boolean
  /** The summary is asked for, however far it is from here. */
  includeSummary: boolean
  /** Rows at most, but for the summary. */
  limit: number
}

/** Where a page ended. */
export interface BranchCursor {
  cursor: number
  /** Of the branch as that page saw it: another one is read from its beginning. */
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

/** A task of a store's thread. Only `write` is gathered; each of the others is one task. */
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

/** What each task gives. */
export interface StoreValues {
  write: Answer<WriteValues[keyof WriteValues]>[]
  'find-session': SessionRow | null
  'list-sessions': SessionRow[]
  /** Those that were changed after a count of changes, the first change first, and the count of the last. */
  'list-changed': { rows: SessionRow[]; last: number }
  'find-operation': MessageRow | null
  /**
   * Newest first. No `next`: the branch begins here. `summary`: it was asked for, and lies before these. `stale`: the
   * branch was cleared or compacted since the page before.
   */
  'read-branch': { rows: MessageRow[]; next?: BranchCursor; summary?: MessageRow } | 'stale'
  /** Messages that are still to be indexed. */
  index: number
  /** Newest first. */
  search: SearchRow[]
  /** Asked again until it is done. */
  backup: 'running' | 'done'
  vacuum: null
  check: StoreCheck
  close: null
}

export interface StoreTask {
  file: StoreFile
  job: StoreJob
}
