/**
 * `generate()`: the blocking thread runs a call of the asynchronous side while this thread waits. This room stands beside
 * the house. Only `LLM.generate`, `Session.generate` and the `...Sync` functions may import it.
 */
import { ConvokeError } from '../errors.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { mergeOptions } from '../options/settings.ts'
import { jsonSchemaOf } from '../request/structured-output.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import { deserializeError, deserializeErrorsIn } from '../threads/serialize-error.ts'
import type { SerializedError } from '../threads/serialize-error.ts'
import type { Answer } from '../threads/answer.ts'
import type { SerializedTarget } from './protocol.ts'
import { estimateInputTokens } from '../tokens/count-tokens.ts'
import type { GenerateResponse, Prompt } from '../types.ts'
import type { BlockingOptions, GenerateOptions } from '../options/generate-options.ts'
import { BlockingCall } from './blocking-call.ts'
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

/** The object whose method is called: an LLM, a session with its LLM, or the library itself where both are missing. */
export interface BlockingTarget {
  llm?: MadeLLM
  session?: BlockingSession
}

interface BlockingSession {
  /** The session object of this thread. */
  made: object
  /** Tells the session apart from the other sessions of this thread. */
  key: string
  store: Store
  options: { id: string }
}

/**
 * `agenerate` or `stream` of an LLM or a session, while this thread waits.
 * @throws ConvokeError as `agenerate`, and `blocking_unavailable`
 */
export function generateBlocking<Response extends GenerateResponse>(
  target: BlockingTarget,
  prompt: Prompt,
  given: BlockingOptions & { stream?: boolean },
): Response | BlockingStream<Response> {
  const merged = checkAndMergeOptions(target, given)
  const { stream, ...options } = given
  const schemaCheck = merged.schema && new SchemaCheck(merged.schema)
  const call = beginCall(target, stream ? 'stream' : 'agenerate', prompt, options, merged, schemaCheck)
  const readResult = (result: Answer<unknown>) => {
    const response = deserializeStoreError(valueOrThrow(result, schemaCheck) as Response)
    return schemaCheck ? schemaCheck.withOutput(response) : response
  }
  return stream
    ? new BlockingStream(call, readResult, partialResponseFor(target, prompt, merged))
    : readResult(waitForResult(call))
}

/** Calls a method whose arguments and result are plain data. @throws ConvokeError as the method, and `blocking_unavailable` */
export function callBlocking<Value>(
  target: BlockingTarget,
  method: string,
  prompt: Prompt,
  given: BlockingOptions,
): Value {
  const merged = checkAndMergeOptions(target, given)
  return valueOrThrow(waitForResult(beginCall(target, method, prompt, given, merged))) as Value
}

/**
 * Calls a function of the library that asks several LLMs.
 * @throws ConvokeError as the function, and `blocking_unavailable`
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
  checkAndMergeOptions({}, given && { ...(blocking ? { blocking } : {}), ...(signal ? { signal } : {}) })
  if (schema) {
    throw unavailable(
      `A schema runs on this thread, where only one call at a time can ask it. Use ${method}() without Sync.`,
    )
  }
  const { strategy, ...options } = more
  const members = serializeMembers(llms)
  const args = [
    members,
    toCloneable(prompt, 'The prompt', 'prompt'),
    strategy === undefined ? undefined : serializeArgument(strategy, 'options.strategy'),
    toCloneable(options, 'options'),
  ]
  const totalMs = limitOfMany(method, members, options)
  const call = new BlockingCall({ target: { kind: 'library' }, method, args }, { totalMs, keepAlive: llms })
  return deserializeErrorsIn(valueOrThrow(waitForResult(call))) as Value
}

/** @throws ConvokeError `blocking_unavailable` for an LLM or a session of which another thread cannot make a replica */
export function targetOf({ llm, session }: BlockingTarget): SerializedTarget {
  if (!llm) return { kind: 'library' }
  if (!session) return { kind: 'llm', llm: serializeLLM(llm) }
  const { made, store, options } = session
  return { kind: 'session', session: serializeSession(made, store, llm, options) }
}

/** Checks that the call may block and that its options are valid, and merges them over the defaults. */
function checkAndMergeOptions(
  { llm, session }: BlockingTarget,
  given: BlockingOptions & { stream?: boolean },
): GenerateOptions {
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

/** @param merged the options over the defaults */
function beginCall(
  target: BlockingTarget,
  method: string,
  prompt: Prompt,
  given: BlockingOptions,
  merged: GenerateOptions,
  schemaCheck?: SchemaCheck,
): BlockingCall {
  const { schema: _schema, signal: _signal, blocking: _blocking, ...options } = given
  const { schema } = merged
  const call = {
    target: targetOf(target),
    method,
    args: [toCloneable(prompt, 'The prompt', 'prompt'), toCloneable(options, 'options')],
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
  }
  const totalMs = limitOf(call.target, merged)
  return new BlockingCall(call, { totalMs, schemaCheck, keepAlive: target })
}

function waitForResult(call: BlockingCall): Answer<unknown> {
  for (;;) {
    const { result } = call.wait()
    if (result) return result
  }
}

function valueOrThrow(result: Answer<unknown>, schemaCheck?: SchemaCheck): unknown {
  if (result.isOk) return result.value
  const error = deserializeError(result.error)
  throw appendStack(schemaCheck ? schemaCheck.withFailure(error) : error)
}

/** The response that a stream has when its thread dies: only the chunks that crossed are known then. */
function partialResponseFor(
  { llm }: BlockingTarget,
  prompt: Prompt,
  options: GenerateOptions,
): PartialResponse {
  const { model = '' } = options
  return new PartialResponse(llm?.provider ?? 'convoke', {
    model,
    inputTokens: () => estimateInputTokens({ ...normalizePrompt(prompt, options, () => {}), model }),
  })
}

/** The response of a session may hold an error of the store, which crossed as data. */
function deserializeStoreError<Response extends GenerateResponse>(response: Response): Response {
  const { storeError } = response as { storeError?: SerializedError }
  return storeError ? { ...response, storeError: deserializeError(storeError) } : response
}

/** Appends this thread's stack, which shows the call, to the stack of the blocking thread, which shows the cause. */
function appendStack(error: ConvokeError): ConvokeError {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, appendStack)
  const frames = (textOf(here.stack) ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return Object.assign(error, { stack: [textOf(error.stack) ?? String(error), ...frames].join('\n') })
}

/** A user's Error.prepareStackTrace may give any value as a stack. */
function textOf(stack: unknown): string | undefined {
  return typeof stack === 'string' ? stack : undefined
}
