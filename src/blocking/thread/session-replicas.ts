/** Replicas of the waiting thread's sessions, and the stores that they share. */
import type { Session } from '../../session/session.ts'
import type { Store, StorePlace } from '../../store/store.ts'
import type { SerializedSession } from '../protocol.ts'
import { llmReplica, prepareReplica } from './llm-replicas.ts'

/**
 * Most stores that stay open while no turn uses them. Each has a thread of some 20 MB. A script that never returns to its
 * event loop is never told which of its sessions were garbage-collected, so the longest unused stores are closed. A
 * session that is used again opens its file again.
 */
const maxStores = 10

interface SharedStore {
  store: Store
  /** The ids of the sessions that use the store. */
  users: Set<number>
  /** How many turns run. */
  turns: number
}

const sessions = new Map<number, Session>()
/** By path, the last used one last. */
const stores = new Map<string, SharedStore>()

/** The replica of a session, which is made when there is none. */
export async function sessionReplica({
  id,
  llm,
  store: place,
  options,
}: SerializedSession): Promise<Session> {
  // Scripts without sessions do not load the code that keeps them.
  const [{ createSession }, { sqliteStore }] = await Promise.all([
    import('../../session/session.ts'),
    import('../../store/sqlite/sqlite-store.ts'),
    prepareReplica(llm),
  ])
  const shared = stores.get(place.path) ?? { store: sqliteStore(place), users: new Set(), turns: 0 }
  stores.delete(place.path)
  stores.set(place.path, shared)
  let session = sessions.get(id)
  if (!session) {
    session = createSession(llmReplica(llm), { ...options, store: shared.store })
    shared.users.add(id)
    sessions.set(id, session)
  }
  session.llm = llmReplica(llm)
  return session
}

/** Keeps the store at this place open until the returned function is called. */
export function holdStore({ path }: StorePlace): () => void {
  const shared = stores.get(path)
  if (shared) shared.turns++
  return () => {
    if (shared) shared.turns--
  }
}

/** Closes the longest unused stores when there are too many. */
export function closeUnusedStores(): void {
  for (const [path, { store, users, turns }] of stores) {
    if (stores.size <= maxStores) return
    if (turns > 0) continue
    stores.delete(path)
    for (const id of users) sessions.delete(id)
    void store.close().catch(() => {})
  }
}

export async function forgetSession(id: number): Promise<void> {
  const session = sessions.get(id)
  sessions.delete(id)
  await session?.close().catch(() => {})
  for (const [path, { store, users }] of stores) {
    if (!users.delete(id) || users.size > 0) continue
    stores.delete(path)
    await store.close().catch(() => {})
  }
}
