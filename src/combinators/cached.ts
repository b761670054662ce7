/** cached: what was asked before is answered from a store. */
import type { Backend } from '../llm/backend.ts'
import { ConvokeError, isConvokeError, messageOf } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { LLM } from '../llm/llm.ts'
import { outputOf } from '../request/structured-output.ts'
import { chunksOf } from '../response/replay.ts'
import type { StreamSink } from '../response/response-stream.ts'
import type { GenerateResponse, StreamChunk } from '../types.ts'
import { cacheKey } from './cache-key.ts'
import type { CombinedCall } from './combined-call.ts'
import { combine } from './combined-backend.ts'
import { checkLLMs, checkOptions, isAmount } from './check-llms.ts'

/** Any store of Keyv's, or what looks like one: a `Map` will do. Values are plain data. */
export interface CacheStore {
  get(key: string): unknown
  set(key: string, value: unknown, ttlMs?: number): unknown
}

export interface CachedOptions {
  /** How long a reply is good for, in milliseconds. @default without end, or the store's own */
  ttlMs?: number
  /** A store that takes longer is gone without, in milliseconds. @default 1_000 */
  storeTimeoutMs?: number
}

/**
 * An LLM that keeps whole replies in a store, under a hash of the request (provider, address, headers, model, messages, and every
 * option that changes the reply; not time-outs, retries or `metadata`), and answers the same request from there, as a
 * reply or as a stream, however it was asked for first. Kept is what ended by `stop` or `tool-calls`: no error, nothing
 * cancelled, nothing cut off. A reply out of the store has `fromCache: true`, `costUsd: 0`, `timing.attempts` 0 and no
 * `raw`. Equal requests at the same time share one call; streams do not, since the slowest reader would hold the others.
 * A store that fails costs a warning in the reply, never the call. Who pays is not part of the request: LLMs with different
 * API keys over one store share replies.
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
    const message = `cached takes a store with get and set, such as new Keyv(), not ${store === null ? 'null' : typeof store}.`
    throw new ConvokeError('configuration', message)
  }
  checkOptions<CachedOptions>('cached', options, {
    ttlMs: [isAmount, 'milliseconds above 0'],
    storeTimeoutMs: [isAmount, 'milliseconds above 0'],
  })
  const cache = new Cache(llm.backend, store, options)
  return combine({ name: 'cached', members, options, work: (call, sink) => cache.answer(call, sink) })
}

/** What is kept of a reply. */
type Kept = Omit<GenerateResponse, 'raw' | 'timing' | 'output' | 'lost' | 'costUsd' | 'fromCache'>
interface Entry {
  version: 1
  /** By `Date.now()`; a store may know no ttl. */
  expiresAtMs?: number
  reply: Kept
}

/** What came of a call that others wait for; nothing where its reply is not to be kept. */
type Flight = Promise<Kept | undefined>

/** Ends of a call that are its caller's own doing, and say nothing of an equal one's. */
const ownEnds: readonly ErrorCode[] = ['timeout', 'queue_full', 'budget_exceeded', 'invalid_output']

class Cache {
  readonly #inner: Backend
  readonly #store: CacheStore
  readonly #options: CachedOptions
  readonly #flights = new Map<string, Flight>()

  constructor(inner: Backend, store: CacheStore, options: CachedOptions) {
    this.#inner = inner
    this.#store = store
    this.#options = options
  }

  async answer(call: CombinedCall, sink: StreamSink | undefined): Promise<GenerateResponse> {
    const startedAtMs = performance.now()
    const troubles: string[] = []
    const key = this.#keyOf(call, troubles)
    const found = key === undefined ? undefined : await this.#read(key, call, troubles)
    const hit = found && (await replay(found, call, startedAtMs, troubles))
    if (hit) return deliver(hit, call, sink)
    if (key === undefined || sink) return this.#ask(key, call, sink, troubles)
    return this.#share(key, call, startedAtMs, troubles)
  }

  /** The reply of an equal call that runs, or of one that equal ones may wait for. */
  async #share(
    key: string,
    call: CombinedCall,
    startedAtMs: number,
    troubles: string[],
  ): Promise<GenerateResponse> {
    for (;;) {
      const flight = this.#flights.get(key)
      if (!flight) return this.#lead(key, call, troubles)
      try {
        const kept = await call.unlessEnded(flight)
        const shared = kept && (await replay(kept, call, startedAtMs, troubles))
        return shared ?? (await this.#ask(key, call, undefined, troubles))
      } catch (error) {
        if (call.signal.aborted || !isConvokeError(error)) throw error
        // The one that was waited for is gone: the next one takes its place.
        if (error.code === 'cancelled') continue
        if (ownEnds.includes(error.code)) return this.#ask(key, call, undefined, troubles)
        throw copyOf(error)
      }
    }
  }

  async #lead(key: string, call: CombinedCall, troubles: string[]): Promise<GenerateResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<Kept | undefined>()
    promise.catch(() => {})
    this.#flights.set(key, promise)
    try {
      const reply = await this.#ask(key, call, undefined, troubles)
      resolve(isWhole(reply) ? keptOf(reply) : undefined)
      return reply
    } catch (error) {
      // Whatever ended it from outside says nothing of those that wait: the next one takes its place.
      reject(
        call.signal.aborted ? new ConvokeError('cancelled', 'The call that was waited for is gone.') : error,
      )
      throw error
    } finally {
      this.#flights.delete(key)
    }
  }

  /** Asks the LLM, and keeps the reply before it is acknowledged: who asks again finds it. */
  async #ask(
    key: string | undefined,
    call: CombinedCall,
    sink: StreamSink | undefined,
    troubles: string[],
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
    if (key !== undefined && isWhole(reply)) await this.#write(key, keptOf(reply), troubles)
    warn(reply, troubles)
    if (finish) void sink?.push(finish)
    return reply
  }

  #keyOf(call: CombinedCall, troubles: string[]): string | undefined {
    const identity = this.#inner.identity(call.prompt, call.options, call.scope)
    try {
      return cacheKey(identity)
    } catch (error) {
      troubles.push(`The reply is not kept: ${messageOf(error)}.`)
      return undefined
    }
  }

  async #read(key: string, call: CombinedCall, troubles: string[]): Promise<Kept | undefined> {
    try {
      const read = (async () => this.#store.get(key))()
      const value = await call.unlessEnded(this.#inTime(read))
      return isEntry(value) && (value.expiresAtMs ?? Infinity) > Date.now() ? value.reply : undefined
    } catch (error) {
      if (call.signal.aborted) throw error
      troubles.push(`The cache could not be read: ${messageOf(error)}`)
      return undefined
    }
  }

  /** Of a reply that is there: a call that is cancelled by now is not. */
  async #write(key: string, reply: Kept, troubles: string[]): Promise<void> {
    const { ttlMs } = this.#options
    const expiry = ttlMs === undefined ? {} : { expiresAtMs: Date.now() + ttlMs }
    const entry: Entry = { version: 1, ...expiry, reply }
    try {
      const written = await this.#inTime((async () => this.#store.set(key, entry, ttlMs))())
      // As Keyv says it.
      if (written === false) troubles.push('The reply could not be kept: the store refused it.')
    } catch (error) {
      troubles.push(`The reply could not be kept: ${messageOf(error)}`)
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

function isWhole({ finishReason }: GenerateResponse): boolean {
  return finishReason === 'stop' || finishReason === 'tool-calls'
}

/** A copy: who has the reply may change it. */
function keptOf(reply: GenerateResponse): Kept {
  const { raw: _raw, timing: _timing, output: _output, ...rest } = reply
  const { otherAttempts: _lost, costUsd: _costUsd, fromCache: _fromCache, ...kept } = rest
  return structuredClone(kept)
}

/** The reply to this call; nothing where it does not fit the call's own schema. */
async function replay(
  kept: Kept,
  call: CombinedCall,
  startedAtMs: number,
  troubles: string[],
): Promise<GenerateResponse | undefined> {
  const reply: GenerateResponse = {
    ...structuredClone(kept),
    timing: { firstChunkMs: 0, totalMs: 0, attempts: 0 },
    costUsd: 0,
    fromCache: true,
    raw: undefined,
  }
  const { schema } = call.settled
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
  warn(reply, troubles)
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
    // The end waits for no reader.
    if (room && chunk.type !== 'finish') await call.unlessEnded(room)
  }
  return reply
}

function warn(reply: GenerateResponse, troubles: readonly string[]): void {
  for (const message of troubles) reply.warnings.push({ type: 'other', subject: 'cache', message })
}

function isEntry(value: unknown): value is Entry {
  const { version, reply } = (value ?? {}) as Partial<Entry>
  return version === 1 && typeof reply?.content === 'string' && Array.isArray(reply.message?.content)
}

/** Of an error that several callers get, each has its own. */
function copyOf({ code, message, cause, name: _name, provider, ...fields }: ConvokeError): ConvokeError {
  const copy = new ConvokeError(code, message, { ...fields, cause })
  // The message names the provider already.
  return provider === undefined ? copy : Object.assign(copy, { provider })
}
