/**
 * Makes the arguments of a library function again: LLMs as replicas, strategies by the functions that made them.
 *
 * Room `blocking/thread`: the side of generate() that runs the calls, in a worker thread. Imported by `workers`.
 */
import type { Member } from '../../fan-out/members.ts'
import { deserializeError } from '../../threads/serialize-error.ts'
import type { SerializedArgument } from '../protocol.ts'
import { llmReplica, prepareCombinators } from './llm-replicas.ts'

export async function deserializeArgument(argument: SerializedArgument): Promise<unknown> {
  const [{ strategies }] = await Promise.all([import('../../consensus/strategies.ts'), prepareCombinators()])
  const deserialize = (inner: SerializedArgument): unknown => {
    switch (inner.kind) {
      case 'data':
        return inner.value
      case 'llm':
        return llmReplica(inner.llm)
      case 'failed':
        return failedMember(inner)
      case 'strategy': {
        const make = strategies[inner.strategy as keyof typeof strategies] as (...args: unknown[]) => unknown
        return make(...inner.args.map(deserialize))
      }
      case 'list':
        return inner.values.map(deserialize)
      case 'fields':
        return Object.fromEntries(
          Object.entries(inner.values).map(([key, value]) => [key, deserialize(value)]),
        )
    }
  }
  return deserialize(argument)
}

/** A member that gives an error to everyone who asks it. */
function failedMember({ provider, model, error }: Extract<SerializedArgument, { kind: 'failed' }>): Member {
  return {
    provider,
    model,
    agenerate: () => Promise.reject(deserializeError(error)),
    stream() {
      throw deserializeError(error)
    },
  }
}
