/**
 * Every message that crosses a thread.
 *
 * Room `threads`: worker threads, errors as data between them, and the recipes by which a thread makes an LLM again.
 * Imported by `blocking`, `blocking/thread`, `combinators`, `consensus`, `fan-out`, `llm`, `session`, `store/sqlite`,
 * `store/sqlite/thread`, `tokens`, `workers`.
 */
import type { SerializedError } from './serialize-error.ts'

/** A worker's answer. Errors lose their class between threads, so they cross as data. */
export type Answer<Value> = { isOk: true; value: Value } | { isOk: false; error: SerializedError }
