/** generate(): a call of the async side, run by the blocking thread while this one waits. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError, isConvokeError } from '../errors.ts'
import { checkCallOptions, mergeOptions, settingsOf } from '../options.ts'
import { jsonSchemaOf, validatedNow } from '../output.ts'
import { fromPlainError } from '../protocol.ts'
import type { BlockingTarget, PlainError } from '../protocol.ts'
import type { GenerateOptions, GenerateResponse, Prompt } from '../types.ts'
import { beginBlocking } from './channel.ts'
import type { BlockingCall } from './channel.ts'
import { beginCall, checkMayBlock, unavailable } from './in-flight.ts'
import { portable } from './portable.ts'
import { thrownHere } from './thrown-here.ts'
import { BlockingStream } from './stream.ts'

/** Options of a blocking call: those of any call, and whether it may block while calls of this thread are in flight. */
export type BlockingOptions<Options = GenerateOptions> = Options & {
  /**
   * `allow` blocks although calls of this thread are in flight, or one has called back: they stand still meanwhile.
   * @default `blocking_unavailable` is thrown then
   */
  blocking?: 'allow'
}

/** Who blocks. */
export interface Blocker {
  /** @throws ConvokeError `blocking_unavailable` for one that cannot be made again in another thread */
  target(): BlockingTarget
  /** What its calls take where they say nothing. */
  defaults: GenerateOptions & { blocking?: 'allow' }
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
  const call = begun(blocker, stream ? 'stream' : 'agenerate', prompt, options, merged)
  const finish = (value: unknown) => validated(revived(value as Response), merged.schema)
  return stream ? new BlockingStream(call, finish) : finish(valueOf(call))
}

/** A call of the async side that takes and gives plain data. */
export function callBlocking<Value>(
  blocker: Omit<Blocker, 'session'>,
  method: string,
  prompt: Prompt,
  given: BlockingOptions,
): Value {
  return valueOf(begun(blocker, method, prompt, given, checked(blocker, given))) as Value
}

/** @param merged the options over the defaults */
function begun(
  blocker: Blocker,
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
    args: [portable(prompt, 'The prompt'), portable(options, 'options')],
    ...(schema ? { outputSchema: jsonSchemaOf(schema) } : {}),
  }
  return beginBlocking(call, settingsOf(merged).timeouts.totalMs, blocker)
}

function valueOf(call: BlockingCall): unknown {
  for (;;) {
    const { end } = call.wait()
    if (end?.isOk) return end.value
    if (end) throw thrownHere(fromPlainError(end.error))
  }
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
  const { signal } = merged
  if (signal?.aborted)
    throw new ConvokeError('cancelled', 'The call was cancelled.', { cause: signal.reason })
  if (signal) {
    throw unavailable(
      'A signal cannot fire while this thread is blocked. Set timeouts.totalMs, or use agenerate().',
    )
  }
  return merged
}

/** Errors inside it crossed as data. */
function revived<Response extends GenerateResponse>(response: Response): Response {
  const { storeError } = response as { storeError?: PlainError }
  return storeError ? { ...response, storeError: fromPlainError(storeError) } : response
}

/** The schema stayed here: it judges what the blocking thread has parsed. */
function validated<Response extends GenerateResponse>(
  response: Response,
  schema: StandardSchemaV1 | undefined,
): Response {
  if (!schema || response.toolCalls.length > 0) return response
  // A schema of the user's that blocks in its turn is inside a call.
  const end = beginCall()
  try {
    return { ...response, output: validatedNow(response, schema) }
  } catch (error) {
    if (!isConvokeError(error)) throw error
    const { provider, model, timing } = response
    const { code, message, cause } = error
    const partial: GenerateResponse = { ...response, finishReason: 'error' }
    delete partial.output
    throw new ConvokeError(code, message, { provider, model, cause, attempts: timing.attempts, partial })
  } finally {
    end()
  }
}
