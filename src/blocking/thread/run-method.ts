/** Calls a method of a replica, or a function of the library, as the waiting thread has asked. */
import type { SerializedCall, SerializedTarget } from '../protocol.ts'
import { libraryFunctions } from './library-functions.ts'
import { forgetLLM, llmReplica, prepareReplica } from './llm-replicas.ts'
import { schemaReplica } from './schema-replica.ts'
import type { AskSchema } from './schema-replica.ts'
import { closeUnusedStores, forgetSession, holdStore, sessionReplica } from './session-replicas.ts'

/**
 * Calls the method, and resolves to the value of `read`.
 * @param read gets what the method returned: a promise or a stream
 */
export async function runMethod<Value>(
  call: SerializedCall,
  askSchema: AskSchema,
  read: (returned: unknown) => Value,
  signal: AbortSignal,
): Promise<Awaited<Value>> {
  const { target } = call
  const object = await objectOf(target)
  const releaseStore = target.kind === 'session' ? holdStore(target.session.store) : () => {}
  try {
    return await read(callMethod(object, call, askSchema, signal))
  } finally {
    releaseStore()
    closeUnusedStores()
  }
}

/** Closes and drops the replica of an LLM or a session. */
export async function forgetReplica(id: number): Promise<void> {
  await Promise.allSettled([forgetLLM(id), forgetSession(id)])
}

function objectOf(target: SerializedTarget): object | Promise<object> {
  switch (target.kind) {
    case 'llm':
      return prepareReplica(target.llm).then(() => llmReplica(target.llm))
    case 'session':
      return sessionReplica(target.session)
    case 'library':
      return libraryFunctions
  }
}

/** The result is not awaited here: a stream is no promise, and begins at once. */
function callMethod(
  object: object,
  { method, args, outputSchema }: SerializedCall,
  askSchema: AskSchema,
  signal: AbortSignal,
): unknown {
  const given = [...args]
  const schema = outputSchema ? { schema: schemaReplica(outputSchema, askSchema) } : {}
  // Options are the last argument of every method. The function countTokens sends no request, and takes no signal.
  const takesSignal = object !== libraryFunctions || method !== 'countTokens'
  if (takesSignal) given.push({ ...(given.pop() as object), ...schema, signal })
  const methods = object as Record<string, (...args: unknown[]) => unknown>
  return methods[method]?.(...given)
}
