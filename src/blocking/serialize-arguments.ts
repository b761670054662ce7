/** The arguments of a function that asks several LLMs, as data: the other thread makes LLMs and strategies again. */
import { isConvokeError, withProvider } from '../errors.ts'
import { serializeError } from '../threads/serialize-error.ts'
import type { SerializedArgument, SerializedLLM, SerializedSession } from './protocol.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { refuseSignal, unavailable } from '../threads/calls-in-flight.ts'
import { toCloneable } from './to-cloneable.ts'
import type { ProviderConfig } from '../provider.ts'
import type { LLMOptions } from '../options/llm-options.ts'
import type { ProviderEntry } from '../providers/registry.ts'
import type { Store } from '../store/store.ts'
import { origins } from '../threads/recipe.ts'

/** Of an LLM of createLLM or a combinator. */
interface Crossing {
  provider: string
  model: string | undefined
  plain(): SerializedLLM
  blocker(): { defaults: GenerateOptions & { blocking?: 'allow' } }
}

/** Members, in the shape that they came in. @throws ConvokeError as `plainArgument` */
export function serializeMembers(llms: unknown): SerializedArgument {
  if (typeof llms !== 'object' || llms === null || answers(llms)) return serializeArgument(llms, 'llms')
  if (Array.isArray(llms)) {
    return { kind: 'list', values: llms.map((llm, at) => serializeArgument(llm, `llms[${at}]`)) }
  }
  const fields = Object.entries(llms).map(([key, llm]) => [key, serializeArgument(llm, `llms.${key}`)])
  return { kind: 'fields', values: Object.fromEntries(fields) as Record<string, SerializedArgument> }
}

/**
 * An LLM, a strategy, or data.
 * @param name how an error calls it
 * @throws ConvokeError `blocking_unavailable` for what can never cross
 */
export function serializeArgument(value: unknown, name: string): SerializedArgument {
  if (answers(value)) return serializeMember(value, name)
  const origin = typeof value === 'object' && value !== null ? origins.get(value) : undefined
  if (!origin) return { kind: 'data', value: toCloneable(value, name, 'setting') }
  const args = origin.args.map((arg) => serializeArgument(arg, `${name} (${origin.name})`))
  return { kind: 'strategy', strategy: origin.name, args }
}

/** `allow` where all members have it. */
export function blockingOf(llms: unknown): 'allow' | undefined {
  const members = Object.values(llms ?? {}) as unknown[]
  const mayAll = members.every((one) => canCross(one) && one.blocker().defaults.blocking === 'allow')
  return mayAll && members.length > 0 ? 'allow' : undefined
}

/** As an LLM does. */
function answers(value: unknown): boolean {
  return typeof (value as { agenerate?: unknown } | null | undefined)?.agenerate === 'function'
}

function canCross(value: unknown): value is Crossing {
  const { plain, blocker } = (value ?? {}) as Partial<Crossing>
  return typeof plain === 'function' && typeof blocker === 'function'
}

function serializeMember(llm: unknown, name: string): SerializedArgument {
  if (!canCross(llm)) {
    throw unavailable(
      `${name} is no LLM of createLLM or a combinator, and cannot cross to the thread that runs blocking calls. Await the call instead.`,
    )
  }
  const { provider, model } = llm
  try {
    const plain = withProvider(provider, () => llm.plain())
    refuseOwn(llm.blocker().defaults, name)
    return { kind: 'llm', llm: plain }
  } catch (error) {
    if (!isConvokeError(error) || error.code === 'blocking_unavailable' || error.code === 'cancelled')
      throw error
    // What is wrong with one (it was closed) is that one's alone.
    const { stack, ...plain } = serializeError(error)
    // Somebody's prepareStackTrace may have made of it what cannot cross.
    const told = typeof stack === 'string' ? { ...plain, stack } : plain
    return { kind: 'failed', provider, model, error: told }
  }
}

/** Neither crosses with an LLM: see plainLLM. */
function refuseOwn({ schema, signal }: GenerateOptions, name: string): void {
  refuseSignal(signal)
  if (!schema) return
  throw unavailable(
    `${name} has a schema of its own, which judges on this thread, where one call at a time can ask it. Await the call instead.`,
  )
}

/**
 * @param options with the keys of the environment
 * @throws ConvokeError `blocking_unavailable` where a client, a function or a provider of this thread's own is in it
 */
export function serializeLLM(
  id: number,
  { name, entry }: { name: string; entry: ProviderEntry },
  config: ProviderConfig,
  options: LLMOptions,
): SerializedLLM {
  if (config.client) {
    throw unavailable(
      "This LLM was made from a client, which cannot cross to the thread that runs blocking calls. Make it by its name, such as createLLM('openai', { apiKey }), or use agenerate().",
    )
  }
  if (!entry.package) {
    throw unavailable(
      `The provider ${name} was registered on this thread, and the one that runs blocking calls does not know it. Use agenerate().`,
    )
  }
  // What stays here: see generateBlocking.
  const { schema: _schema, signal: _signal, blocking: _blocking, apiKey, ...rest } = options
  if (typeof apiKey === 'function') {
    throw unavailable(
      'apiKey is a function, which cannot cross to the thread that runs blocking calls. Pass the key itself, or use agenerate().',
    )
  }
  const { baseURL } = config
  const known = { apiKey: apiKey ?? [], name: config.name, ...(baseURL ? { baseURL } : {}) }
  return { id, provider: name, options: toCloneable({ ...rest, ...known }, 'options') }
}

/** @throws ConvokeError `blocking_unavailable` for a store that is no file */
export function serializeSession(
  id: number,
  { place, name }: Store,
  llm: SerializedLLM,
  options: { id: string; store?: unknown },
): SerializedSession {
  if (!place) {
    throw unavailable(
      `The store ${name} is one that no other thread can open, so blocking calls cannot write to it. Use agenerate(), or sqliteStore().`,
    )
  }
  const { store: _store, ...rest } = options
  return { id, llm, store: place, options: toCloneable(rest, 'options') }
}
