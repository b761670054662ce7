/**
 * Ids for the replicas that the blocking thread has of this thread's LLMs and sessions. The thread is told when a
 * replica's original was closed or garbage-collected, and then closes the replica.
 */
import { onDiscard } from '../threads/recipe.ts'
import { forgetReplica } from './channel.ts'

let lastId = 0
const ids = new WeakMap<object, number>()
const collected = new FinalizationRegistry<number>(forgetReplica)

// A closed object that is used again gets a new id, and so a new replica.
onDiscard((original) => {
  const id = ids.get(original)
  if (id === undefined) return
  ids.delete(original)
  collected.unregister(original)
  forgetReplica(id)
})

/** The id of the replica of an LLM or a session. */
export function replicaId(original: object): number {
  const known = ids.get(original)
  if (known !== undefined) return known
  const id = ++lastId
  ids.set(original, id)
  collected.register(original, id, original)
  return id
}
