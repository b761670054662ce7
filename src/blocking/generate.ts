/** generate(): a call of the async side, run by the blocking thread while this one waits. */
import { ConvokeError } from '../errors.ts'
import { checkCallOptions, mergeOptions } from '../options/call-options.ts'
import { jsonSchemaOf } from '../request/structured-output.ts'
import { conversation } from '../request/normalize-prompt.ts'
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
import { PartialResponse } from './blocking-stream.ts'
import { checkMayBlock, refuseSignal, unavailable } from '../threads/calls-in-flight.ts'
import { SchemaCheck } from './schema-check.ts'
import { blockingOf, serializeArgument, serializeMembers } from './serialize-arguments.ts'
import { limitOf, limitOfMany } from './call-limit.ts'
import { toCloneable } from './to-cloneable.ts'
import { BlockingStream } from './blocking-stream.ts'

/** Who blocks. */
export interface Blocker {
  /** @throws ConvokeError `blocking_unavailable` for one that cannot be made again in another thread */
  target(): BlockingTarget
  /** What its calls take where they say nothing. */
  defaults: GenerateOptions & { blocking?: 'allow' }
  /** @default that of the library itself */
  provider?: string
  /** The session, by store and id. */
  session?: string
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

function partialResponseFor(
  { provider = 'convoke' }: Blocker,
  prompt: Prompt,
  options: GenerateOptions,
): PartialResponse {
  const { model = '' } = options
  return new PartialResponse(provider, {
    model,
    inputTokens: () => estimateInputTokens({ ...conversation(prompt, options, () => {}), model }),
  })
}

/** A call of the async side that takes and gives plain data. */
export function callBlocking<Value>(
  blocker: Omit<Blocker, 'session'>,
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
    blocking = blockingOf(llms),
    schema,
    signal,
    ...more
  } = (given ?? {}) as BlockingOptions & Record<string, unknown>
  checked({ defaults: {} }, given && { ...(blocking ? { blocking } : {}), ...(signal ? { signal } : {}) })
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
    target: blocker.target(),
    method,
    args: [toCloneable(prompt, 'The prompt', 'prompt'), toCloneable(options, 'options')],
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
  }
  return beginBlocking(call, limitOf(call.target, merged), blocker)
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
function checked(
  blocker: Omit<Blocker, 'target'>,
  given: BlockingOptions & { stream?: boolean },
): GenerateOptions {
  const { blocking = blocker.defaults.blocking, ...rest } = given ?? {}
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
  checkMayBlock(blocking === 'allow', blocker.session)
  const { blocking: _blocking, ...defaults } = blocker.defaults
  const merged = mergeOptions(defaults, options)
  refuseSignal(merged.signal)
  return merged
}

/** Errors inside it crossed as data. */
function revived<Response extends GenerateResponse>(response: Response): Response {
  const { storeError } = response as { storeError?: SerializedError }
  return storeError ? { ...response, storeError: deserializeError(storeError) } : response
}

/** Its stack tells where it was made; where the call was is known to this thread alone. */
export function appendStack(error: ConvokeError): ConvokeError {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, appendStack)
  const frames = (textOf(here.stack) ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return Object.assign(error, { stack: [textOf(error.stack) ?? String(error), ...frames].join('\n') })
}

/** Somebody's Error.prepareStackTrace may give anything. */
function textOf(stack: unknown): string | undefined {
  return typeof stack === 'string' ? stack : undefined
}
