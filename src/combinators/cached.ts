/** cached: answers repeated requests from a store. */
import type { Backend } from '../llm/backend.ts'
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { checkOptions, describeValue, optionsError } from '../options/check-options.ts'
import { positiveMs } from '../options/option-rules.ts'
import type { OptionRules } from '../options/option-rules.ts'
import { outputOf } from '../request/structured-output.ts'
import { chunksOf } from '../response/replay.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import { cacheKey } from './cache-key.ts'
import type { CombinedCall } from './combined-call.ts'
import { combine } from './combined-backend.ts'
import { checkLLMs } from './check-llms.ts'

/** A Keyv store, or any object with the same two methods, such as a `Map`. Values are plain data. */
export interface CacheStore {
  /** Gives the value of a key, or undefined where there is none; a promise of either will do. */
  get(key: string): unknown
  /**
   * Keeps a value for `ttlMs` milliseconds; without `ttlMs`, until the store drops it. A store may ignore `ttlMs`.
   */
  set(key: string, value: unknown, ttlMs?: number): unknown
}

/** Options of `cached`. */
export interface CachedOptions {
  /** How long a reply is valid, in milliseconds. @default without end, or as the store decides */
  ttlMs?: number
  /** How long a read or a write may take; slower stores are skipped, with a warning. In milliseconds. @default 1_000 */
  storeTimeoutMs?: number
}

/**
 * An LLM that keeps complete replies in a store, and answers equal requests from there, as a reply or as a stream, however
 * the first one was asked for. The key is a hash of the request: provider, address, headers, model, messages, and every
 * option that changes the reply (time-outs, retries and `metadata` do not). Only replies that ended with `stop` or
 * `tool-calls` are kept: no error, no cancelled reply, no reply that was cut off. A reply from the store has
 * `fromCache: true`, `costUsd: 0`, `timing.attempts` 0 and no `raw`. Equal requests at the same time share one call;
 * streams do not, since the slowest reader would delay the others. When the store fails, the reply has a warning, and the
 * call goes on. The API key is not part of the request: LLMs with different keys over one store share replies.
 *
 * @example
 * const llm = cached(createLLM('openai/gpt-4o-mini'), new Keyv(), { ttlMs: 3_600_000 })
 *
 * @throws ConvokeError `configuration` for what is no LLM or no store, or a bad option
 */
export function cached<Default extends GenerateResponse>(
  llm: LLM<Default>,
  store: CacheStore,
  options?: CachedOptions,
): LLM<Default>
export function cached(llm: LLM, store: CacheStore, options: CachedOptions = {}): LLM {
  const members = checkLLMs('cached', [llm])
  if (typeof store?.get !== 'function' || typeof store.set !== 'function') {
    const message = `The store is ${describeValue(store)}; it takes an object with get and set, such as new Keyv().`
    throw optionsError(context, message)
  }
  checkOptions(options, rules, context)
  const cache = new Cache(llm.backend, store, options)
  return combine({ name: 'cached', members, options, work: (call, sink) => cache.answer(call, sink) })
}

const rules: OptionRules<keyof CachedOptions> = { ttlMs: positiveMs, storeTimeoutMs: positiveMs }
const context = { code: 'configuration', label: 'cached' } as const

/** The part of a reply that is kept. */
type KeptReply = Omit<
  GenerateResponse,
  'raw' | 'timing' | 'output' | 'otherAttempts' | 'costUsd' | 'fromCache'
>
interface Entry {
  version: 1
  /** By `Date.now()`. Kept here too, as a store may ignore `ttlMs`. */
  expiresAtMs?: number
  reply: KeptReply
}

/** A call that equal calls wait for. It gives undefined when its reply cannot be shared. */
type SharedCall = Promise<KeptReply | undefined>

/** Errors that depend on one caller's own limits: an equal call of another caller may succeed. */
const callerCodes: readonly ErrorCode[] = ['timeout', 'queue_full', 'budget_exceeded', 'invalid_output']

class Cache {
  readonly #inner: Backend
  readonly #store: CacheStore
  readonly #options: CachedOptions
  readonly #shared = new Map<string, SharedCall>()

  constructor(inner: Backend, store: CacheStore, options: CachedOptions) {
    this.#inner = inner
    this.#store = store
    this.#options = options
  }

  async answer(call: CombinedCall, sink: StreamSink | undefined): Promise<GenerateResponse> {
    const startedAtMs = performance.now()
    const warnings: string[] = []
    const key = this.#keyOf(call, warnings)
    const found = key === undefined ? undefined : await this.#read(key, call, warnings)
    const hit = found && (await replay(found, call, startedAtMs, warnings))
    if (hit) return deliver(hit, call, sink)
    if (key === undefined || sink) return this.#ask(key, call, sink, warnings)
    return this.#share(key, call, startedAtMs, warnings)
  }

  /** Waits for an equal call that runs already, or makes a call that equal ones can wait for. */
  async #share(
    key: string,
    call: CombinedCall,
    startedAtMs: number,
    warnings: string[],
  ): Promise<GenerateResponse> {
    for (;;) {
      const running = this.#shared.get(key)
      if (!running) return this.#lead(key, call, warnings)
      try {
        const kept = await call.unlessEnded(running)
        const shared = kept && (await replay(kept, call, startedAtMs, warnings))
        return shared ?? (await this.#ask(key, call, undefined, warnings))
      } catch (error) {
        if (call.signal.aborted || !isConvokeError(error)) throw error
        // The shared call was cancelled by its own caller: another waiting call takes its place.
        if (error.code === 'cancelled') continue
        if (callerCodes.includes(error.code)) return this.#ask(key, call, undefined, warnings)
        throw copyOf(error)
      }
    }
  }

  async #lead(key: string, call: CombinedCall, warnings: string[]): Promise<GenerateResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<KeptReply | undefined>()
    promise.catch(() => {})
    this.#shared.set(key, promise)
    try {
      const reply = await this.#ask(key, call, undefined, warnings)
      resolve(isComplete(reply) ? keptOf(reply) : undefined)
      return reply
    } catch (error) {
      // A cancel ends this caller's call alone: one of the calls that wait takes its place.
      reject(call.signal.aborted ? new ConvokeError('cancelled', 'The shared call was cancelled.') : error)
      throw error
    } finally {
      this.#shared.delete(key)
    }
  }

  /** Asks the LLM. The reply is written before it is delivered, so that an equal request after it finds it. */
  async #ask(
    key: string | undefined,
    call: CombinedCall,
    sink: StreamSink | undefined,
    warnings: string[],
  ): Promise<GenerateResponse> {
    let finish: StreamChunk | undefined
    const view: StreamSink | undefined = sink && {
      push: (chunk) => {
        if (chunk.type !== 'finish') return sink.push(chunk)
        finish = chunk
        return undefined
      },
    }
    const reply = await call.ask(this.#inner, view, call.scope.handsOver)
    if (key !== undefined && isComplete(reply)) await this.#write(key, keptOf(reply), warnings)
    addWarnings(reply, warnings)
    if (finish) void sink?.push(finish)
    return reply
  }

  #keyOf(call: CombinedCall, warnings: string[]): string | undefined {
    const identity = this.#inner.identity(call.prompt, call.options, call.scope)
    try {
      return cacheKey(identity)
    } catch (error) {
      warnings.push(`The reply is not kept: ${messageOf(error)}.`)
      return undefined
    }
  }

  async #read(key: string, call: CombinedCall, warnings: string[]): Promise<KeptReply | undefined> {
    try {
      const read = (async () => this.#store.get(key))()
      const value = await call.unlessEnded(this.#inTime(read))
      return isEntry(value) && (value.expiresAtMs ?? Infinity) > Date.now() ? value.reply : undefined
    } catch (error) {
      if (call.signal.aborted) throw error
      warnings.push(`The cache could not be read: ${messageOf(error)}`)
      return undefined
    }
  }

  /** Does not end with the call: the reply is complete, even if the call was cancelled meanwhile. */
  async #write(key: string, reply: KeptReply, warnings: string[]): Promise<void> {
    const { ttlMs } = this.#options
    const expiry = ttlMs === undefined ? {} : { expiresAtMs: Date.now() + ttlMs }
    const entry: Entry = { version: 1, ...expiry, reply }
    try {
      const written = await this.#inTime((async () => this.#store.set(key, entry, ttlMs))())
      // Keyv reports a failed write by `false`.
      if (written === false) warnings.push('The reply could not be kept: the store refused it.')
    } catch (error) {
      warnings.push(`The reply could not be kept: ${messageOf(error)}`)
    }
  }

  async #inTime<T>(work: Promise<T>): Promise<T> {
    const { storeTimeoutMs = 1_000 } = this.#options
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer for ${storeTimeoutMs} ms`)), storeTimeoutMs)
    })
    try {
      return await Promise.race([work, late])
    } finally {
      clearTimeout(timer)
    }
  }
}

function isComplete({ finishReason }: GenerateResponse): boolean {
  return finishReason === 'stop' || finishReason === 'tool-calls'
}

/** A copy, as the caller may change the reply. */
function keptOf(reply: GenerateResponse): KeptReply {
  const { raw: _raw, timing: _timing, output: _output, ...rest } = reply
  const { otherAttempts: _otherAttempts, costUsd: _costUsd, fromCache: _fromCache, ...kept } = rest
  return structuredClone(kept)
}

/** A kept reply as the reply to this call; undefined where it does not fit the call's own schema. */
async function replay(
  kept: KeptReply,
  call: CombinedCall,
  startedAtMs: number,
  warnings: string[],
): Promise<GenerateResponse | undefined> {
  const reply: GenerateResponse = {
    ...structuredClone(kept),
    timing: { firstChunkMs: 0, totalMs: 0, attempts: 0 },
    costUsd: 0,
    fromCache: true,
    raw: undefined,
  }
  const { schema } = call.mergedOptions
  if (schema && reply.toolCalls.length === 0) {
    try {
      reply.output = await call.unlessEnded(outputOf(reply, schema))
    } catch (error) {
      if (call.signal.aborted) throw error
      return undefined
    }
  }
  const totalMs = performance.now() - startedAtMs
  reply.timing = { firstChunkMs: totalMs, totalMs, attempts: 0 }
  addWarnings(reply, warnings)
  return reply
}

async function deliver(
  reply: GenerateResponse,
  call: CombinedCall,
  sink: StreamSink | undefined,
): Promise<GenerateResponse> {
  if (!sink) return reply
  for (const chunk of chunksOf(reply)) {
    const room = sink.push(chunk)
    // The last chunk does not wait for the reader, as `finish` never does.
    if (room && chunk.type !== 'finish') await call.unlessEnded(room)
  }
  return reply
}

function addWarnings(reply: GenerateResponse, warnings: readonly string[]): void {
  for (const message of warnings) reply.warnings.push({ type: 'other', subject: 'cache', message })
}

function isEntry(value: unknown): value is Entry {
  const { version, reply } = (value ?? {}) as Partial<Entry>
  return version === 1 && typeof reply?.content === 'string' && Array.isArray(reply.message?.content)
}

/** Callers that share a call get an error each. */
function copyOf({ code, message, cause, name: _name, provider, ...fields }: ConvokeError): ConvokeError {
  const copy = new ConvokeError(code, message, { ...fields, cause })
  // Set afterwards: the message names the provider already, and the constructor would name it again.
  return provider === undefined ? copy : Object.assign(copy, { provider })
}
