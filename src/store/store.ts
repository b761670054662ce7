/**
 * The contract of a store: where conversations are kept. Everything that goes in and out is plain data, so that a store may
 * do its work in another thread or on another machine.
 *
 * Words used here: a *branch* is a line of messages, each of which names the one before it; a *session* reads one branch,
 * and its *head* is the branch's last message. A *fork* is a session whose branch shares its beginning with another one's.
 * A *turn* is a prompt and the reply to it. Its *writer* is the open store, in one thread of one process, that writes it.
 */
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
 * `streaming`: the reply is being written. `complete`: it ended as the vendor meant it to. `interrupted`: its writer died
 * before the end. `cancelled` and `failed`: the caller or an error ended it. Each of the last three keeps the content that
 * had arrived. Messages that are not replies are `complete`.
 */
export type MessageStatus = 'streaming' | 'complete' | 'interrupted' | 'cancelled' | 'failed'

/** The role and the parts of a message. Bytes of images and files are base64 text here. */
export type StoredContent =
  | { role: 'user'; content: (TextPart | ImagePart | FilePart)[] }
  | { role: 'assistant'; content: AssistantPart[] }
  | { role: 'tool'; content: ToolResultPart[] }
  /** A compaction's summary of the messages before it. It is sent as part of the system prompt. */
  | { role: 'summary'; content: TextPart[] }

/** The facts of a reply besides its content. */
export interface ReplyFields {
  /** The provider that answered. */
  provider?: string
  /** The model that ran. */
  model?: string
  /** The vendor's id of the reply. */
  responseId?: string
  /** Why the reply ended. */
  finishReason?: FinishReason
  /** The vendor's own word for the finish reason. */
  rawFinishReason?: string
  /** The model's refusal, in its own words. */
  refusal?: string
  /** The tokens of the reply. */
  usage?: Usage
  /** US dollars. */
  costUsd?: number
  /** How long the call took. */
  timing?: Timing
  /** Notes on what was left out or changed. */
  warnings?: Warning[]
  /** The error that ended a failed or cancelled reply. */
  error?: { code: ErrorCode; message: string }
}

/** One message, as the store gives it. */
export type StoredMessage = StoredContent &
  ReplyFields & {
    id: string
    /** The message before it on its branch. Several messages may have the same parent: their branches part there. */
    parentId?: string
    /** The session that wrote it. Forks of that session read the same message. */
    sessionId: string
    /** Grows with each message that is written to the store. Times may step back when a clock is set; this never does. */
    sequence: number
    /** The number of its turn on the branch, from 1. All messages of one turn have the same. */
    turn: number
    status: MessageStatus
    createdAt: Date
    /** On a reply: the `operationId` that its turn was given. */
    operationId?: string
  }

/** A message to be written. The caller makes its id, so that a write that is repeated is recognised. */
export type NewMessage = StoredContent & { id: string }

/** A message that was written elsewhere (an import, say), with what is known about it. */
export type AddedMessage = NewMessage &
  ReplyFields & {
    /** @default 'complete' */
    status?: Exclude<MessageStatus, 'streaming'>
    /**
     * Neighbours with the same number become one turn, a new number begins the next. The store replaces the numbers by
     * those that follow the branch's last. @default all messages are one turn
     */
    turn?: number
  }

/** A session as the store keeps it. */
export interface SessionRecord {
  /** The session's id. */
  id: string
  /** The system prompt. */
  system?: string
  /** The last message of the branch, without those of a turn that is running; undefined when there is none. */
  headId?: string
  /** The session that this one was forked from. */
  forkedFrom?: string
  /** The summary that replaces the messages up to and including `compactedTo`. */
  summaryId?: string
  /** The id of the last message that the summary replaces. */
  compactedTo?: string
  /** When the session was made. */
  createdAt: Date
  /** When the session or its branch was last changed. */
  updatedAt: Date
  /** How many turns the branch has, up to the head. */
  turns: number
  /** The user's own fields. */
  metadata?: Record<string, unknown>
}

/** A session that is about to be made. */
export interface NewSession {
  /** The session's id: any text that is not empty. */
  id: string
  /** The system prompt. */
  system?: string
  /** Any object that JSON can hold. */
  metadata?: Record<string, unknown>
}

/** A turn that is about to begin. */
export interface TurnRequest {
  /** The session that the turn belongs to. */
  sessionId: string
  /** The id of the reply, which is written at once: empty, and with status `streaming`. */
  replyId: string
  /** The messages of the prompt, in order. They are written before the reply. */
  messages: NewMessage[]
  /** The process and thread that write this turn. The session is busy until the turn ends or its writer dies. */
  writer: Writer
  /** Identifies the turn to its caller. A turn of the session that completed under the same id is not run again. */
  operationId?: string
  /**
   * The id of a reply to be repeated: the last of the branch, with status `interrupted`, `cancelled` or `failed`. The new
   * reply gets its parent, its turn number and its `operationId`, and takes its place on the branch; the old one stays in
   * the store beside the branch. `messages` is empty then.
   */
  repeats?: string
}

/** An open store as a writer of turns, described so that others can tell whether it still lives. */
export interface Writer {
  /** A random id of the open store, followed by `@` and the id of its thread (`@0` for the main thread). */
  id: string
  /** The id of the process. */
  pid: number
  /** The host name. A process id means nothing on another host. */
  host: string
  /** The start of the process as its system counts it, since process ids are reused. '' where the system does not say. */
  started: string
}

/** The outcome of `beginTurn`, told apart by `kind`. */
export type TurnAnswer =
  /** The turn has this number, and its reply may be written. */
  | { kind: 'begun'; turn: number }
  /** Another turn of the session is running: its reply, operation and writer. `beat` changes while that writer lives. */
  | { kind: 'busy'; replyId: string; operationId?: string; writer: Writer; beat: number }
  /** The operation completed before: its reply. Nothing was written. */
  | { kind: 'done'; reply: StoredMessage }
  /** The reply to be repeated is no longer the branch's last, or is complete. Nothing was written. */
  | { kind: 'stale' }

/** A piece of a reply that streams. One without parts only shows that the writer lives. */
export interface Delta {
  /** Counts a reply's deltas from 0, so that a delta that is sent twice is stored once. */
  number: number
  /** The content that arrived since the last delta. */
  parts: AssistantPart[]
  /** The reply began anew: the deltas with lower numbers are dropped. @default false */
  isAnew?: boolean
}

/** The end of a reply. Its content replaces all deltas. */
export type TurnEnd = ReplyFields & {
  status: 'complete' | 'cancelled' | 'failed'
  content: AssistantPart[]
}

/** Which messages of a branch are read. */
export interface ReadOptions {
  /** Give at most this many messages: the last ones. @default all */
  limit?: number
  /** Give only messages before this one (its id) on the branch. */
  before?: string
  /** Give the messages that a compaction replaced, in place of the summary. @default false */
  includeCompacted?: boolean
  /** Give the summary first, also where `limit` ends before it. It does not count towards `limit`. @default false */
  includeSummary?: boolean
}

/** A message that a search found. */
export interface SearchHit {
  /** The whole message. */
  message: StoredMessage
  /**
   * A session whose history has the message: the one that was searched; otherwise the one that wrote it or, where that was
   * deleted or cleared, a fork of it.
   */
  sessionId: string
  /** A part of the message's text, with the words that were found in `**bold**`. */
  snippet: string
}

/** The result of `check`. */
export interface StoreCheck {
  /** Whether no problem was found. */
  isOk: boolean
  /** A sentence for each problem that was found. */
  problems: string[]
}

/** A SQLite file, as `sqliteStore` takes it. */
export interface StorePlace {
  /** Absolute. */
  path: string
  /** `full`: a write survives a loss of power. `normal`: it survives a crash of the process. */
  durability: 'full' | 'normal'
  /** Milliseconds. */
  busyTimeoutMs: number
}

/**
 * A store of conversations.
 *
 * A write's promise settles when the write is as durable as the store promises, and a later read sees it. A write that is
 * repeated lands once: sessions, messages, deltas and replies are recognised by the ids (and numbers) that the caller gave
 * them, and the repetition gets the first one's answer. A write that fails has changed nothing, unless its error leaves
 * that open (`worker_lost`). Methods may be called in parallel; writes land in the order of the calls, but an import may land
 * later.
 *
 * Every method rejects with a ConvokeError:
 * - `session_not_found`: there is no session of this id, or the reply's session was deleted
 * - `store_failed`: an id, a count or a value cannot be used, an id is taken, or the store was closed
 * - `store_full`, `store_locked` (may be repeated), `store_corrupt`: the disk, other processes, or the data
 * - `worker_lost`: the store's thread died; whether the write landed is not known, and repeating it is safe
 */
export interface Store extends AsyncDisposable {
  /** How errors and logs call the store: the path of its file, say. */
  readonly name: string
  /** This open store as a writer of turns. Give it in each `TurnRequest`. */
  readonly writer: Writer
  /** The file that another thread can open as the same store. Without it, sessions cannot use the blocking `generate()`. */
  readonly place?: StorePlace
  /** Gives the session of this id, and makes it where there is none. A session that exists keeps its fields. */
  open(session: NewSession): Promise<SessionRecord>
  /** Gives the session of this id; undefined when there is none. */
  find(id: string): Promise<SessionRecord | undefined>
  /**
   * Gives sessions, the one that was changed last first. Each write to a session or its branch is a change.
   * @param options `limit`: most sessions, @default all; `offset`: how many to skip, @default 0
   */
  list(options?: { limit?: number; offset?: number }): Promise<SessionRecord[]>
  /**
   * Replaces the given fields; an undefined one stays as it is.
   * @throws ConvokeError `session_not_found`
   */
  updateSession(
    id: string,
    fields: { system?: string; metadata?: Record<string, unknown> },
  ): Promise<SessionRecord>
  /**
   * Makes a session whose branch ends at the message `at` of this one's branch (@default its head). No message is copied.
   * Without a system prompt of its own it takes this session's. `at` may be the session's summary: the fork's branch is
   * then that summary alone. The same fork again gives the session that was made first.
   * @throws ConvokeError `session_not_found`; `store_failed` when `at` is not on the branch, or the fork's id is taken
   */
  forkSession(id: string, fork: NewSession, at?: string): Promise<SessionRecord>
  /** Deletes a session, and its messages except those that a fork still reads. Does nothing when there is none. */
  deleteSession(id: string): Promise<void>
  /**
   * Empties the branch. Forks keep what they share with it. A turn that is running goes on, and begins the new branch.
   * @throws ConvokeError `session_not_found`
   */
  clearSession(id: string): Promise<void>
  /**
   * Gives the messages of the branch, oldest first, and behind the head those of a running turn, whose reply has the
   * content of its deltas. All of them are of one state of the branch, also when it is changed meanwhile.
   * @throws ConvokeError `session_not_found`; `store_failed` when `before` is not on the branch, or the branch was cleared
   * or compacted again and again while it was read
   */
  readMessages(sessionId: string, options?: ReadOptions): Promise<StoredMessage[]>
  /**
   * Adds messages behind the head: all or none. A turn that is running is put behind them, and its number raised.
   * @returns the messages as they are stored, in the same order
   * @throws ConvokeError `session_not_found`; `store_failed` when an id is taken
   */
  addMessages(sessionId: string, messages: readonly AddedMessage[]): Promise<StoredMessage[]>
  /**
   * Makes a session with these messages, in one step. A session of this id that has no messages yet is used, and takes the
   * given fields. A first message of role `summary` becomes the session's summary.
   * @throws ConvokeError `invalid_request` when the session of this id has messages or a running turn
   */
  importSession(session: NewSession, messages: readonly AddedMessage[]): Promise<SessionRecord>
  /**
   * Stores a summary that replaces the messages up to and including `upTo` in later reads. The messages stay in the store.
   * @throws ConvokeError `session_not_found`; `store_failed` when `upTo` is not on the branch
   */
  compact(sessionId: string, summary: NewMessage & ReplyFields, upTo: string): Promise<SessionRecord>
  /** Gives the complete reply of an operation of this session; undefined when the operation has not completed. */
  findOperation(sessionId: string, operationId: string): Promise<StoredMessage | undefined>
  /**
   * Begins a turn, unless another turn of the session is running. In one transaction it looks for the operation's complete
   * reply (`done`), for a running turn whose writer is not known to be dead (`busy`), marks a turn whose writer is dead as
   * interrupted, and writes the messages and an empty reply behind the head (`begun`). The vendor is called after that, so
   * no prompt is lost.
   * @throws ConvokeError `session_not_found`; `store_failed` when an id is taken
   */
  beginTurn(request: TurnRequest): Promise<TurnAnswer>
  /**
   * Stores what has arrived of a reply since its last delta, and changes the turn's `beat`. It is called a few times a
   * second for each reply that streams, so it must be cheap. After the reply's end it does nothing.
   * @throws ConvokeError `session_not_found` when the reply is gone; `store_failed` when it was marked as interrupted
   */
  appendDelta(replyId: string, delta: Delta): Promise<void>
  /**
   * Ends a turn: stores the reply's final content and fields, and makes it the head. A reply that was marked as interrupted
   * still gets its content, but a branch that went on without it keeps its head. A reply that has ended stays as it is.
   * @throws ConvokeError `session_not_found` when the reply is gone
   */
  endTurn(replyId: string, end: TurnEnd): Promise<void>
  /**
   * Marks a running reply as interrupted, with the content of its deltas, and makes it the head. Does nothing when the
   * turn's beat is no longer `beat`: then its writer lives.
   */
  interruptTurn(replyId: string, beat: number): Promise<void>
  /**
   * Gives messages that have all the words of the query, newest first. Marks and operators in it mean nothing. With a
   * session, its history is searched; without one, the histories of all sessions, and each message is given once.
   * @param options `limit`: most hits, @default 20
   */
  search(query: string, options?: { sessionId?: string; limit?: number }): Promise<SearchHit[]>
  /**
   * Copies the store to a new file, while it is in use.
   * @throws ConvokeError `store_failed` when the path is taken or cannot be written
   */
  backup(path: string): Promise<void>
  /** Returns unused space to the disk. */
  vacuum(): Promise<void>
  /** Looks for damage in the stored data. */
  check(): Promise<StoreCheck>
  /** Waits until all writes so far have settled, then releases files and threads. Further calls are refused. */
  close(): Promise<void>
}
