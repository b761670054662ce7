/** The options that users pass to a session and its calls. */
import type { Store } from '../store/store.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { ContextOptions } from './context-window.ts'

/** Options of `createSession` and `importSession`. */
export interface SessionOptions {
  /**
   * Where the conversation is stored: a store, or the path of a SQLite file, which is created when it does not exist.
   * @default a private temporary file, deleted when the process ends
   */
  store?: string | Store
  /** A session of this id in the store is continued; otherwise a new one begins. @default a random id */
  id?: string
  /** The system prompt. @default the stored prompt of a session that is continued */
  system?: string
  /** How the messages that are sent are kept within the model's context window. */
  context?: ContextOptions
  /**
   * The behaviour of a call while another turn of the session runs, also in another process: `queue` waits for it, `reject`
   * throws `session_busy`, `fork` goes on in a fork of the session. @default 'queue'
   */
  turns?: 'queue' | 'reject' | 'fork'
  /** Your own data, stored as JSON. */
  metadata?: Record<string, unknown>
}

/** The options of a call, without `messages`: a session has its own. */
export type SessionCallOptions<Output = unknown, Tool extends string = string> = Omit<
  GenerateOptions<Output, Tool>,
  'messages'
> & {
  /** Calls with the same id run once: a later one gets the first one's reply. */
  operationId?: string
}

/** Options of `session.compact`. */
export interface CompactOptions {
  /** How many of the last turns stay as they are. @default 2 */
  keepRecent?: number
  /** The facts that the summary must not lose, in words. */
  focus?: string
  /** Ends the compaction with `cancelled`; the session stays as it was. */
  signal?: AbortSignal
}
