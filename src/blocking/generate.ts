/** generate(): a call of the async side, run by the blocking thread while this one waits. */
import { ConvokeError } from '../errors.ts'
import { checkCallOptions } from '../options/check-call-options.ts'
import { mergeOptions } from '../options/merge-options.ts'
import { jsonSchemaOf } from '../request/structured-output.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import { deserializeError, deserializeErrorsIn } from '../threads/serialize-error.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { Answer } from '../threads/answer.ts'
import type { BlockingTarget } from './protocol.ts'
import { estimateInputTokens } from '../tokens/count-tokens.ts'
import type { GenerateResponse, Prompt } from '../types.ts'
import type { BlockingOptions } from '../options/blocking-options.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { beginBlocking } from './channel.ts'
import type { BlockingCall, Owner } from './channel.ts'
import { PartialResponse } from '../response/partial-response.ts'
import { checkMayBlock, refuseSignal, unavailable } from './may-block.ts'
import { SchemaCheck } from './schema-check.ts'
import {
  blockingOf,
  blockingOfMembers,
  serializeArgument,
  serializeLLM,
  serializeMembers,
  serializeSession,
} from './serialize-arguments.ts'
import type { MadeLLM } from '../threads/recipe.ts'
import type { Store } from '../store/store.ts'
import { limitOf, limitOfMany } from './call-limit.ts'
import { toCloneable } from './to-cloneable.ts'
import { BlockingStream } from './blocking-stream.ts'

/** Whose call blocks: an LLM's, a session's with its LLM, or the library's own. */
export interface Blocker {
  llm?: MadeLLM
  session?: BlockingSession
}

interface BlockingSession {
  /** The object that stands for the session on this thread. */
  made: object
  /** Tells it from the other sessions of this thread. */
  key: string
  store: Store
  options: { id: string }
}

/** @throws ConvokeError what `agenerate` rejects with, and `blocking_unavailable` */
export function generateBlocking<Response extends GenerateResponse>(
  blocker: Blocker,
  prompt: Prompt,
  given: BlockingOptions & { stream?: boolean },
): Response | BlockingStream<Response> {
  const merged = checked(blocker, given)
  const { stream, ...options } = given
  const schemaCheck = merged.schema && new SchemaCheck(merged.schema)
  const owner = schemaCheck ? { ...blocker, schemaCheck } : blocker
  const call = begun(owner, stream ? 'stream' : 'agenerate', prompt, options, merged)
  const read = (end: Answer<unknown>) => {
    const response = revived(valueOf(end, schemaCheck) as Response)
    return schemaCheck ? schemaCheck.response(response) : response
  }
  return stream
    ? new BlockingStream(call, read, partialResponseFor(blocker, prompt, merged))
    : read(endOf(call))
}

function partialResponseFor({ llm }: Blocker, prompt: Prompt, options: GenerateOptions): PartialResponse {
  const { model = '' } = options
  return new PartialResponse(llm?.provider ?? 'convoke', {
    model,
    inputTokens: () => estimateInputTokens({ ...normalizePrompt(prompt, options, () => {}), model }),
  })
}

/** A call of the async side that takes and gives plain data. */
export function callBlocking<Value>(
  blocker: Blocker,
  method: string,
  prompt: Prompt,
  given: BlockingOptions,
): Value {
  return valueOf(endOf(begun(blocker, method, prompt, given, checked(blocker, given)))) as Value
}

/**
 * A function of the library that asks several LLMs.
 * @throws ConvokeError what it rejects with, and `blocking_unavailable`
 */
export function askBlocking<Value>(
  method: 'fanOut' | 'consensus',
  llms: object,
  prompt: unknown,
  given: BlockingOptions<object> = {},
): Value {
  const {
    blocking = blockingOfMembers(llms),
    schema,
    signal,
    ...more
  } = (given ?? {}) as BlockingOptions & Record<string, unknown>
  checked({}, given && { ...(blocking ? { blocking } : {}), ...(signal ? { signal } : {}) })
  if (schema) {
    throw unavailable(
      `A schema judges on this thread, which one call at a time can ask. Use ${method}() without Sync.`,
    )
  }
  const { strategy, ...options } = more
  const members = serializeMembers(llms)
  const asked = toCloneable(prompt, 'The prompt', 'prompt')
  const made = strategy === undefined ? undefined : serializeArgument(strategy, 'options.strategy')
  const args = [members, asked, made, toCloneable(options, 'options')]
  const limitMs = limitOfMany(method, members, options)
  const call = beginBlocking({ target: { kind: 'library' }, method, args }, limitMs, { llms })
  return deserializeErrorsIn(valueOf(endOf(call))) as Value
}

/** @param merged the options over the defaults */
function begun(
  blocker: Blocker & Owner,
  method: string,
  prompt: Prompt,
  given: BlockingOptions,
  merged: GenerateOptions,
): BlockingCall {
  const { schema: _schema, signal: _signal, blocking: _blocking, ...options } = given
  const { schema } = merged
  const call = {
    target: targetOf(blocker),
    method,
    args: [toCloneable(prompt, 'The prompt', 'prompt'), toCloneable(options, 'options')],
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
  }
  return beginBlocking(call, limitOf(call.target, merged), blocker)
}

/** @throws ConvokeError `blocking_unavailable` where another thread cannot make the LLM or the session again */
export function targetOf({ llm, session }: Blocker): BlockingTarget {
  if (!llm) return { kind: 'library' }
  if (!session) return { kind: 'llm', llm: serializeLLM(llm) }
  const { made, store, options } = session
  return { kind: 'session', session: serializeSession(made, store, llm, options) }
}

function endOf(call: BlockingCall): Answer<unknown> {
  for (;;) {
    const { end } = call.wait()
    if (end) return end
  }
}

function valueOf(end: Answer<unknown>, schemaCheck?: SchemaCheck): unknown {
  if (end.isOk) return end.value
  const error = deserializeError(end.error)
  throw appendStack(schemaCheck ? schemaCheck.error(error) : error)
}

/** The options over the defaults, when the call may block. */
function checked({ llm, session }: Blocker, given: BlockingOptions & { stream?: boolean }): GenerateOptions {
  const { blocking = llm && blockingOf([llm]), ...rest } = given ?? {}
  if (blocking !== undefined && blocking !== 'allow') {
    throw new ConvokeError(
      'invalid_request',
      `The option blocking is ${JSON.stringify(blocking)}; it takes 'allow'.`,
    )
  }
  const {
    operationId: _operationId,
    exact: _exact,
    ...options
  } = rest as typeof rest & Record<string, unknown>
  checkCallOptions(given && options)
  checkMayBlock(blocking === 'allow', session?.key)
  const merged = mergeOptions(llm?.defaults ?? {}, options)
  refuseSignal(merged.signal)
  return merged
}

/** Errors inside it crossed as data. */
function revived<Response extends GenerateResponse>(response: Response): Response {
  const { storeError } = response as { storeError?: SerializedError }
  return storeError ? { ...response, storeError: deserializeError(storeError) } : response
}

/** Its stack tells where it was made; where the call was is known to this thread alone. */
function appendStack(error: ConvokeError): ConvokeError {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, appendStack)
  const frames = (textOf(here.stack) ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return Object.assign(error, { stack: [textOf(error.stack) ?? String(error), ...frames].join('\n') })
}

/** Somebody's Error.prepareStackTrace may give anything. */
function textOf(stack: unknown): string | undefined {
  return typeof stack === 'string' ? stack : undefined
}
