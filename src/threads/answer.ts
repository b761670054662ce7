/** Every message that crosses a thread. */
import type { SerializedError } from './serialize-error.ts'

/** What a worker answers. Errors lose their class between threads, so they cross as data. */
export type Answer<Value> = { isOk: true; value: Value } | { isOk: false; error: SerializedError }
