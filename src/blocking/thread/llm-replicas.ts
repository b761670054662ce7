/** Replicas of the waiting thread's LLMs. A replica keeps its connections, its limits and its counts between calls. */
import { createLLM } from '../../llm/llm.ts'
import type { LLM } from '../../llm/llm.ts'
import type { SerializedLLM } from '../protocol.ts'

/**
 * Most replicas that are kept. A script that never returns to its event loop is never told which of its LLMs were
 * garbage-collected, so the longest unused ones are dropped. A dropped replica that is needed again is made anew.
 */
const maxLLMs = 100
/** Most replicas that count their rate or a vendor's failures, and would lose the counts when dropped. */
const maxCounting = 1_000

/** By id, the last used one last. */
const llms = new Map<number, LLM>()
/** The ids of replicas with a rate limit or a circuit breaker. */
const counting = new Set<number>()
/** For combined LLMs, how many of the LLMs in them were closed when the replica was made. */
const closedCounts = new WeakMap<LLM, number>()
/** Loaded with the first combined LLM. */
let combinators: typeof import('../../combinators/combine-by-name.ts') | undefined

/** Loads what `llmReplica` needs for this LLM. */
export async function prepareReplica(llm: SerializedLLM): Promise<void> {
  if ('combinator' in llm) await prepareCombinators()
}

/** Loads what `llmReplica` needs for any LLM. */
export async function prepareCombinators(): Promise<void> {
  combinators ??= await import('../../combinators/combine-by-name.ts')
}

/** The replica of an LLM, which is made when there is none. It has to be prepared before. */
export function llmReplica(serialized: SerializedLLM): LLM {
  const { id } = serialized
  const known = llms.get(id)
  // When a member was closed since, this combined replica may hold another replica of it than the closed one.
  const isCurrent = known && (closedCounts.get(known) ?? 0) === closedIn(serialized)
  const llm = isCurrent ? known : makeReplica(serialized)
  if (serialized.isClosed) void llm.close()
  llms.delete(id)
  llms.set(id, llm)
  if ('rateLimit' in serialized.options || 'circuitBreaker' in serialized.options) counting.add(id)
  if (llms.size > maxLLMs) dropLeastRecentlyUsed()
  return llm
}

export async function forgetLLM(id: number): Promise<void> {
  const llm = llms.get(id)
  llms.delete(id)
  counting.delete(id)
  await llm?.close()
}

function makeReplica(serialized: SerializedLLM): LLM {
  if (!('combinator' in serialized)) return createLLM(serialized.provider, serialized.options)
  const { combinator, members, options } = serialized
  if (!combinators) throw new Error('The combinators were not loaded.')
  // The members have replicas of their own, which direct calls to the members use as well.
  const llm = combinators.combineByName(combinator, members.map(llmReplica), options)
  closedCounts.set(llm, closedIn(serialized))
  return llm
}

function closedIn(serialized: SerializedLLM): number {
  if (!('combinator' in serialized)) return 0
  return serialized.members.reduce((sum, member) => sum + (member.isClosed ? 1 : 0) + closedIn(member), 0)
}

/** Drops one replica: the longest unused one that neither counts nor has calls in flight. */
function dropLeastRecentlyUsed(): void {
  const lastUsed = [...llms.keys()].at(-1)
  for (const [id, { activity }] of llms) {
    // Where all others count, dropping the one in use would make it anew for each call.
    if (id === lastUsed) return
    if (activity.running + activity.queued > 0) continue
    if (counting.has(id) && counting.size <= maxCounting) continue
    llms.delete(id)
    counting.delete(id)
    return
  }
}
