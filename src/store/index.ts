/**
 * `convoke/store`: the contract of a store, for someone who writes one. The library itself does not import this file: it
 * stands above its room, as src/index.ts does.
 *
 * Room `store`: the contract of a store, and the parts that every store needs. Imported by `blocking`,
 * `blocking/thread`, `index`, `session`, `store/sqlite`, `store/sqlite/thread`.
 */
import '../runtime.ts'

export type {
  AddedMessage,
  Delta,
  MessageStatus,
  NewMessage,
  NewSession,
  ReadOptions,
  ReplyFields,
  SearchHit,
  SessionRecord,
  Store,
  StoreCheck,
  StoredContent,
  StoredMessage,
  StorePlace,
  TurnAnswer,
  TurnEnd,
  TurnRequest,
  Writer,
} from './store.ts'
