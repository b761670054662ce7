/** The messages between a thread that waits in `generate()` and the blocking thread, which runs its calls. */
import type { MessagePort } from 'node:worker_threads'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Combinator } from '../threads/recipe.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import type { StorePlace } from '../store/store.ts'
import type { StreamChunk } from '../types.ts'
import type { Answer } from '../threads/answer.ts'

/**
 * An LLM as data, from which the blocking thread makes a replica. LLMs may be made from equal data, so `id` tells them
 * apart.
 */
export type SerializedLLM = (SerializedVendor | SerializedCombination) & { isClosed?: true }

interface SerializedVendor {
  id: number
  provider: string
  options: LLMOptions
}

/** Several LLMs, and the name of the function that combines them. */
export interface SerializedCombination {
  id: number
  combinator: Combinator
  members: SerializedLLM[]
  options: object
}

/** A session as data: its replica works on the same store file. */
export interface SerializedSession {
  id: number
  llm: SerializedLLM
  store: StorePlace
  options: object
}

/** The object whose method is called. A call to `library` calls one of the library's functions by its name. */
export type SerializedTarget =
  { kind: 'llm'; llm: SerializedLLM } | { kind: 'session'; session: SerializedSession } | { kind: 'library' }

/** An argument of a library function. Its kind is told beside the value, so that data may have any shape. */
export type SerializedArgument =
  | { kind: 'data'; value: unknown }
  | { kind: 'llm'; llm: SerializedLLM }
  /** An LLM that cannot be asked, and the error that asking it gives. */
  | { kind: 'failed'; provider: string; model: string | undefined; error: SerializedError }
  /** A strategy: the name of the function that made it, and that function's arguments. */
  | { kind: 'strategy'; strategy: string; args: SerializedArgument[] }
  | { kind: 'list'; values: SerializedArgument[] }
  | { kind: 'fields'; values: Record<string, SerializedArgument> }

/** A call that the blocking thread runs. */
export interface SerializedCall {
  target: SerializedTarget
  /** The name of the method, or of the library function, that is called. */
  method: string
  /** The arguments, as plain data. */
  args: unknown[]
  /** The JSON Schema of the output. The schema itself stays in the waiting thread, since its code cannot cross. */
  outputSchema?: Record<string, unknown>
}

/** Starts a call. `totalMs` is the limit of the whole call, in milliseconds. */
export type CallCommand = SerializedCall & { kind: 'call'; id: number; totalMs: number }

/** A message to the blocking thread. */
export type BlockingCommand =
  | CallCommand
  /** Does nothing. The sender learns from postMessage() whether the port is still connected. */
  | { kind: 'ping' }
  /** The answer to a `SchemaQuestion` of this call. */
  | { kind: 'schema-answer'; id: number; question: number; answer: SchemaAnswer }
  /** The reader of this stream has taken so many chunks. */
  | { kind: 'chunks-read'; id: number; count: number }
  | { kind: 'cancel'; id: number; reason: string }
  /** The waiting thread waits for this call, out of several that run. */
  | { kind: 'wait-for'; id: number }
  /** The LLM or session with this replica was closed, or was garbage-collected. */
  | { kind: 'forget'; id: number }

/** A message from the blocking thread: all that happened in a call since the last message about it. */
export interface CallUpdate {
  id: number
  chunks: StreamChunk[]
  schemaQuestion?: SchemaQuestion
  /** The value or the error that ended the call. */
  result?: Answer<unknown>
}

/** Asks whether a reply, which was parsed as JSON, fits the schema of the call. */
export interface SchemaQuestion {
  /** Tells the replies apart, since one call may ask several LLMs. */
  number: number
  value: unknown
}

export type SchemaAnswer =
  | { kind: 'fits' }
  | { kind: 'issues'; issues: readonly StandardSchemaV1.Issue[] }
  /** The schema threw. */
  | { kind: 'failed'; message: string }

/** The `workerData` of the blocking thread. */
export interface BlockingStart {
  port: MessagePort
  /** Ids of threads of this process that have died. */
  lostThreads: number[]
  /** Shared by both threads; see `cells`. */
  memory: Int32Array
}

/** The cells of the shared memory. */
export const cells = {
  /** Counts the messages of the blocking thread. The waiting thread sleeps on this cell. */
  updates: 0,
  /** Counts up at intervals while the blocking thread runs calls, as its sign of life. */
  heartbeats: 1,
  /** The liveness file descriptor plus 1; 0 while the thread starts. See liveness.ts. */
  livenessDescriptor: 2,
  /** The device and the inode of the file behind the descriptor, the lowest 32 bits of each. */
  livenessDevice: 3,
  livenessInode: 4,
} as const
