/** What crosses between a thread that waits and the one that runs its calls. */
import type { MessagePort } from 'node:worker_threads'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Combinator } from '../threads/recipe.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import type { StorePlace } from '../store/store.ts'
import type { StreamChunk } from '../types.ts'
import type { Answer } from '../threads/answer.ts'

/** An LLM as the blocking thread makes it again. `id` tells those apart that were made alike. */
export type SerializedLLM = (SerializedVendor | SerializedCombination) & { isClosed?: true }

interface SerializedVendor {
  id: number
  provider: string
  options: LLMOptions
}

/** Of other LLMs, by the function that combines them. */
export interface SerializedCombination {
  id: number
  combinator: Combinator
  members: SerializedLLM[]
  options: object
}

/** A session as the blocking thread makes it again, on the same file. */
export interface SerializedSession {
  id: number
  llm: SerializedLLM
  store: StorePlace
  options: object
}

/** Whose method is called; of the library itself, a function by its name. */
export type BlockingTarget =
  { kind: 'llm'; llm: SerializedLLM } | { kind: 'session'; session: SerializedSession } | { kind: 'library' }

/** An argument of a function of the library. Told by its place and its kind, so that data may look like anything. */
export type SerializedArgument =
  | { kind: 'data'; value: unknown }
  | { kind: 'llm'; llm: SerializedLLM }
  /** An LLM that cannot be asked, and the error of who does. */
  | { kind: 'failed'; provider: string; model: string | undefined; error: SerializedError }
  /** By the function that made it. */
  | { kind: 'strategy'; strategy: string; args: SerializedArgument[] }
  | { kind: 'list'; values: SerializedArgument[] }
  | { kind: 'fields'; values: Record<string, SerializedArgument> }

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
  | { kind: 'judged'; id: number; question: number; verdict: SchemaAnswer }
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
  judge?: SchemaQuestion
  end?: Answer<unknown>
}

export interface SchemaQuestion {
  /** Of several replies (a call may ask two LLMs) this one. */
  number: number
  value: unknown
}

export type SchemaAnswer =
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
