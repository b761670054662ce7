/** A session as data, from which another thread makes its twin. */
import type { PlainLLM, PlainSession } from '../protocol.ts'
import type { Store } from '../store/store.ts'
import { unavailable } from './in-flight.ts'
import { portable } from './portable.ts'

/** @throws ConvokeError `blocking_unavailable` for a store that is no file */
export function plainSession(
  id: number,
  { place, name }: Store,
  llm: PlainLLM,
  options: { id: string; store?: unknown },
): PlainSession {
  if (!place) {
    throw unavailable(
      `The store ${name} is one that no other thread can open, so blocking calls cannot write to it. Use agenerate(), or sqliteStore().`,
    )
  }
  const { store: _store, ...rest } = options
  return { id, llm, store: place, options: portable(rest, 'options') }
}
