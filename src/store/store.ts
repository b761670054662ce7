/** The contract of a store: where conversations live. Plain data in and out, so that a store may live in another thread. */
import type { ErrorCode } from '../errors.ts'
import type {
  AssistantPart,
  FilePart,
  FinishReason,
  ImagePart,
  TextPart,
  Timing,
  ToolResultPart,
  Usage,
  Warning,
} from '../types.ts'

/**
 * `streaming` while its writer is at it; `interrupted` when the writer died in the middle. `cancelled` and `failed` have
 * what had arrived.
 */
export type MessageStatus = 'streaming' | 'complete' | 'interrupted' | 'cancelled' | 'failed'

/** What a message says. Bytes of pictures and files are base64 text here. */
export type StoredContent =
  | { role: 'user'; content: (TextPart | ImagePart | FilePart)[] }
  | { role: 'assistant'; content: AssistantPart[] }
  | { role: 'tool'; content: ToolResultPart[] }
  /** What a compaction made of the messages before it; sent as part of the system prompt. */
  | { role: 'summary'; content: TextPart[] }

/** What is known of a reply beside its content. */
export interface ReplyFields {
  provider?: string
  model?: string
  /** The vendor's id of the reply. */
  responseId?: string
  finishReason?: FinishReason
  rawFinishReason?: string
  refusal?: string
  usage?: Usage
  costUsd?: number
  timing?: Timing
  warnings?: Warning[]
  /** What ended a failed or cancelled reply. */
  error?: { code: ErrorCode; message: string }
}

/** One message as it stands in the store. */
export type StoredMessage = StoredContent &
  ReplyFields & {
    id: string
    /** The message before it, of which there may be several children: branches. */
    parentId?: string
    /** The session that wrote it. A fork reads those of its origin. */
    sessionId: string
    /** The order of writing in the whole store. Clocks step back, this does not. */
    sequence: number
    /** From 1 within the branch; all messages of one turn share it. */
    turn: number
    status: MessageStatus
    createdAt: Date
    /** Given to the turn by the caller, on its reply. */
    operationId?: string
  }

/** A message to be written. Its id is made by the caller, so that a write that is repeated lands once. */
export type NewMessage = StoredContent & { id: string }

/** A message that was said elsewhere, with what is known of it. */
export type AddedMessage = NewMessage &
  ReplyFields & {
    /** @default 'complete' */
    status?: Exclude<MessageStatus, 'streaming'>
    /** Messages of one number are one turn; the store counts on from its last. @default all are one turn */
    turn?: number
  }

export interface SessionRecord {
  id: string
  /** The system prompt. */
  system?: string
  /** The last message of its branch, but for a turn that is running; undefined when nothing was said. */
  headId?: string
  /** The session it was forked from. */
  forkedFrom?: string
  /** The summary that stands for the messages up to and including `compactedTo`. */
  summaryId?: string
  compactedTo?: string
  createdAt: Date
  updatedAt: Date
  /** The turns of its branch. */
  turns: number
  metadata?: Record<string, unknown>
}

export interface NewSession {
  id: string
  system?: string
  metadata?: Record<string, unknown>
}

/** A turn that is about to begin: its messages, and the reply that will follow them. */
export interface TurnRequest {
  sessionId: string
  /** Of the reply, which is written at once as `streaming`. */
  replyId: string
  messages: NewMessage[]
  /** Who writes it: while that process lives and beats, the turn is taken. */
  writer: Writer
  operationId?: string
  /**
   * Repeats the turn of this reply, the branch's last, that was not finished: the new reply stands beside it, takes its
   * place, and has its `operationId`.
   */
  repeats?: string
}

/** A process that writes turns. */
export interface Writer {
  /** Made at random when the store is opened; it ends with the thread, `@0` for the main one. */
  id: string
  pid: number
  /** Of the machine: the id of a process says nothing to others. */
  host: string
  /** When the process was started, as its system counts: ids of processes come again. '' where it does not say. */
  started: string
}

export type TurnAnswer =
  | { kind: 'begun'; turn: number }
  /** Another turn of this session is running; `beat` changes while its writer lives. */
  | { kind: 'busy'; replyId: string; operationId?: string; writer: Writer; beat: number }
  /** The operation has been done before: its reply. */
  | { kind: 'done'; reply: StoredMessage }
  /** The reply that was to be repeated is not the branch's last any more, or is whole. */
  | { kind: 'stale' }

/** A piece of a reply that streams. Without parts it only says that its writer lives. */
export interface Delta {
  /** From 0, so that one that is written twice lands once. */
  number: number
  parts: AssistantPart[]
  /** What came before is void: the reply began anew. */
  isAnew?: boolean
}

/** The end of a reply. Its content replaces what the deltas had gathered. */
export type TurnEnd = ReplyFields & {
  status: 'complete' | 'cancelled' | 'failed'
  content: AssistantPart[]
}

export interface ReadOptions {
  /** The last so many. @default all */
  limit?: number
  /** Only messages before this one on the branch. */
  before?: string
  /** Also what a compaction replaced. @default false: the summary stands for it */
  includeCompacted?: boolean
  /** The summary comes first also where `limit` ends before it, and does not count. @default false */
  includeSummary?: boolean
}

export interface SearchHit {
  message: StoredMessage
  /**
   * A session that has it in its history: the one that was searched, or the one that wrote it; where that was deleted or
   * cleared, a fork of it.
   */
  sessionId: string
  /** A piece of its text, with the words that were found in `**bold**`. */
  snippet: string
}

/** What `check` found. */
export interface StoreCheck {
  isOk: boolean
  problems: string[]
}

/** A SQLite file, as `sqliteStore` takes it. */
export interface StorePlace {
  /** Absolute. */
  path: string
  durability: 'full' | 'normal'
  busyTimeoutMs: number
}

/**
 * A place for conversations. Every promise that settles stands for what is on disk, as far as the store's durability
 * goes; every write lands once, however often it is repeated.
 *
 * All methods reject with ConvokeError: `session_not_found`, `store_full`, `store_corrupt`, `store_locked`,
 * `store_failed` or `worker_lost`.
 */
export interface Store extends AsyncDisposable {
  /** What errors and logs call it: the path of its file, say. */
  readonly name: string
  readonly writer: Writer
  /** Where another thread can open the same file; without one, its sessions make no blocking calls. */
  readonly place?: StorePlace
  /** The session of this id; made, where there is none. An existing one keeps its fields. */
  open(session: NewSession): Promise<SessionRecord>
  find(id: string): Promise<SessionRecord | undefined>
  /** Newest first, by their last change. */
  list(options?: { limit?: number; offset?: number }): Promise<SessionRecord[]>
  updateSession(
    id: string,
    fields: { system?: string; metadata?: Record<string, unknown> },
  ): Promise<SessionRecord>
  /**
   * A session that shares the messages up to `at` (@default the head), and copies nothing. At its summary: one whose
   * history is that summary.
   */
  forkSession(id: string, fork: NewSession, at?: string): Promise<SessionRecord>
  /** With its messages, but for those that a fork still reads. */
  deleteSession(id: string): Promise<void>
  /** Forgets the messages of the branch; forks keep theirs. */
  clearSession(id: string): Promise<void>
  /** The messages of the branch, oldest first, those of a turn that is running included. */
  readMessages(sessionId: string, options?: ReadOptions): Promise<StoredMessage[]>
  /** Messages behind the head. */
  addMessages(sessionId: string, messages: readonly AddedMessage[]): Promise<StoredMessage[]>
  /**
   * A session with messages that were said elsewhere, in one step. One of this id that has no messages takes the fields;
   * `invalid_request` when it has some.
   */
  importSession(session: NewSession, messages: readonly AddedMessage[]): Promise<SessionRecord>
  /** Lets the summary stand for the messages up to and including `upTo`. */
  compact(sessionId: string, summary: NewMessage & ReplyFields, upTo: string): Promise<SessionRecord>
  /** The reply of an operation of this session that was done. */
  findOperation(sessionId: string, operationId: string): Promise<StoredMessage | undefined>
  /** Commits the messages and an empty reply before the vendor is called. */
  beginTurn(request: TurnRequest): Promise<TurnAnswer>
  /** What has arrived of a reply since the last delta. Cheap, and in order. */
  appendDelta(replyId: string, delta: Delta): Promise<void>
  endTurn(replyId: string, end: TurnEnd): Promise<void>
  /** Marks the reply of a writer that is known to be dead. `beat` is the one that did not change. */
  interruptTurn(replyId: string, beat: number): Promise<void>
  /**
   * Messages that have all the words, newest first. Without a session: what a search of any of them would find, each once.
   * @default limit 20
   */
  search(query: string, options?: { sessionId?: string; limit?: number }): Promise<SearchHit[]>
  /** Copies the store to a new file while it is in use. */
  backup(path: string): Promise<void>
  /** Gives unused space back to the disk. */
  vacuum(): Promise<void>
  check(): Promise<StoreCheck>
  /** Waits for what was written, then lets go. */
  close(): Promise<void>
}
