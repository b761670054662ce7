/** What users pass to a session and its calls. */
import type { Store } from '../store/store.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { ContextOptions } from './window.ts'

export interface SessionOptions {
  /**
   * Where the conversation is kept: the path of a SQLite file, which is made when there is none, or a store.
   * @default a private temporary file, removed when the process ends
   */
  store?: string | Store
  /** One that is in the store goes on; another begins. @default made at random */
  id?: string
  /** The system prompt. A session that is in the store keeps its own when none is given. */
  system?: string
  /** Keeps what is sent within the model's window. */
  context?: ContextOptions
  /**
   * Calls while another turn runs, in other processes too: wait in line, are refused with `session_busy`, or go on in a
   * fork. @default 'queue'
   */
  turns?: 'queue' | 'reject' | 'fork'
  /** Anything of the user's own, kept as JSON. */
  metadata?: Record<string, unknown>
}

/** Options of a call of a session: those of any call, but `messages`, which the session has. */
export type SessionCallOptions<Output = unknown, Tool extends string = string> = Omit<
  GenerateOptions<Output, Tool>,
  'messages'
> & {
  /** The same id twice runs once: the second call gets the first one's reply. */
  operationId?: string
}

export interface CompactOptions {
  /** Turns at the end that stay as they are. @default 2 */
  keepRecent?: number
  /** What the summary must not lose, in words. */
  focus?: string
  signal?: AbortSignal
}
