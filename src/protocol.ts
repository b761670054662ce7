/** Every message that crosses a thread. */
import type { MessagePort } from 'node:worker_threads'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { PlainError } from './plain-errors.ts'
import type { LLMOptions } from './providers/provider.ts'
import type {
  MessageStatus,
  SessionRecord,
  StoreCheck,
  StoredContent,
  StorePlace,
  Writer,
} from './store/store.ts'
import type { StreamChunk } from './types.ts'

/** What a worker answers. Errors lose their class between threads, so they cross as data. */
export type Answer<Value> = { isOk: true; value: Value } | { isOk: false; error: PlainError }

/** Texts to count. Without texts, a task of a vocabulary builds its table, for all threads to share. */
export interface TokenizeTask {
  vocabulary: Vocabulary
  table?: SharedArrayBuffer
  texts: string[]
}

/** The counts of the task's texts, in their order: tokens themselves would stall the thread that reads them. */
export interface TokenizeValue {
  counts: number[]
  table?: SharedArrayBuffer
}

/** What counts: one of OpenAI's vocabularies, or the characters alone. */
export type Vocabulary = 'o200k_base' | 'cl100k_base' | 'estimate'

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
export type HistoryWrite =
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
  from?: BranchPlace
  isWhole: boolean
  /** The summary is asked for, however far it is from here. */
  hasSummary: boolean
  /** Rows at most, but for the summary. */
  limit: number
}

/** Where a page ended. */
export interface BranchPlace {
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
export type HistoryJob =
  | { kind: 'write'; writes: HistoryWrite[] }
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
export interface HistoryValues {
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
  'read-branch': { rows: MessageRow[]; next?: BranchPlace; summary?: MessageRow } | 'stale'
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

export interface HistoryTask {
  file: StoreFile
  job: HistoryJob
}

/** An LLM as the blocking thread makes it again. `id` tells those apart that were made alike. */
export type PlainLLM = (PlainVendor | PlainCombination) & { isClosed?: true }

export interface PlainVendor {
  id: number
  provider: string
  options: LLMOptions
}

/** Of other LLMs, by the function that combines them. */
export interface PlainCombination {
  id: number
  combinator: 'fallback' | 'hedge' | 'balance' | 'withDefaults'
  members: PlainLLM[]
  options: object
}

/** A session as the blocking thread makes it again, on the same file. */
export interface PlainSession {
  id: number
  llm: PlainLLM
  store: StorePlace
  options: object
}

/** Whose method is called; of the library itself, a function by its name. */
export type BlockingTarget =
  { kind: 'llm'; llm: PlainLLM } | { kind: 'session'; session: PlainSession } | { kind: 'library' }

/** An argument of a function of the library. Told by its place and its kind, so that data may look like anything. */
export type PlainArgument =
  | { kind: 'data'; value: unknown }
  | { kind: 'llm'; llm: PlainLLM }
  /** An LLM that cannot be asked, and the error of who does. */
  | { kind: 'failed'; provider: string; model: string | undefined; error: PlainError }
  /** By the function that made it. */
  | { kind: 'strategy'; strategy: string; args: PlainArgument[] }
  | { kind: 'list'; values: PlainArgument[] }
  | { kind: 'fields'; values: Record<string, PlainArgument> }

/** What the blocking thread is told. */
export type BlockingOrder =
  | {
      kind: 'call'
      id: number
      target: BlockingTarget
      /** Of the async side, with plain data for arguments. */
      method: string
      args: unknown[]
      /** Of the whole call, in milliseconds. */
      totalMs: number
      /** JSON Schema of the output, whose validation cannot cross. */
      outputSchema?: Record<string, unknown>
    }
  /** Nothing: the sender sees whether anybody is there. */
  | { kind: 'look' }
  /** What the schema of a call says of a reply. */
  | { kind: 'judged'; id: number; question: number; verdict: Verdict }
  /** So many chunks were read. */
  | { kind: 'taken'; id: number; count: number }
  | { kind: 'cancel'; id: number; reason: string }
  /** The one that is waited for, of several. */
  | { kind: 'awaits'; id: number }
  /** The LLM or session of this id was closed, or is gone. */
  | { kind: 'forget'; id: number }

/** What came of a call since the last news of it. */
export interface BlockingNews {
  id: number
  chunks: StreamChunk[]
  /** A reply, read as JSON, which the call's schema is to judge. */
  judge?: Question
  end?: Answer<unknown>
}

export interface Question {
  /** Of several replies (a call may ask two LLMs) this one. */
  number: number
  value: unknown
}

export type Verdict =
  | { kind: 'fits' }
  | { kind: 'issues'; issues: readonly StandardSchemaV1.Issue[] }
  | { kind: 'failed'; message: string }

/** What the blocking thread begins with. */
export interface BlockingStart {
  port: MessagePort
  /** That died before this one. */
  lostThreads: number[]
  /** Seen by both threads: see `cells`. */
  memory: Int32Array
}

/** Cells of the memory that both threads see. */
export const cells = {
  /** Counts up with all news. */
  news: 0,
  /** Counts up while the thread lives and has something to do. */
  beats: 1,
  /** A file descriptor of the thread, plus 1; 0 while it starts. Its end closes it, however it ends. */
  pledge: 2,
  /** Which file that is, each in its lowest 32 bits. */
  pledgedDevice: 3,
  pledgedFile: 4,
} as const
