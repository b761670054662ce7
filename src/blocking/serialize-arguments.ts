/** Turns LLMs, sessions and strategies into data by their recipes, so that the blocking thread can make replicas. */
import { isConvokeError, withProvider } from '../errors.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import type { Store } from '../store/store.ts'
import { recipeOf } from '../threads/recipe.ts'
import type { MadeLLM, Recipe } from '../threads/recipe.ts'
import { serializeError } from '../threads/serialize-error.ts'
import { replicaId } from './replica-id.ts'
import { refuseSignal, unavailable } from './may-block.ts'
import type {
  SerializedArgument,
  SerializedCombination,
  SerializedLLM,
  SerializedSession,
} from './protocol.ts'
import { toCloneable } from './to-cloneable.ts'

/** The parts of an LLM's facade that are needed here. */
interface Facade {
  provider: string
  model: string | undefined
  backend: MadeLLM
}

type SerializedBase = Exclude<SerializedLLM, SerializedCombination> | Omit<SerializedCombination, 'members'>
type VendorRecipe = Extract<Recipe, { kind: 'vendor' }>
type CombinationRecipe = Extract<Recipe, { kind: 'combination' }>

/** The data that never change of an LLM. To copy its options for every call would cost as much as the call's own data. */
const serialized = new WeakMap<MadeLLM, SerializedBase>()

/**
 * @throws ConvokeError `blocking_unavailable` for an LLM with a client, a function, a cache, or a provider that was
 * registered on this thread; `configuration` for a closed LLM
 */
export function serializeLLM(llm: MadeLLM): SerializedLLM {
  llm.throwIfClosed()
  return serializeMember(llm)
}

/** A combined LLM still answers when one of its members is closed, so closed members cross as well. */
function serializeMember(llm: MadeLLM): SerializedLLM {
  const recipe = recipeOf(llm)
  let base = serialized.get(llm)
  if (!base) serialized.set(llm, (base = serializeBase(llm, recipe)))
  const members = recipe?.kind === 'combination' ? { members: recipe.members.map(serializeMember) } : {}
  return { ...base, ...members, ...(llm.isClosed ? { isClosed: true } : {}) } as SerializedLLM
}

function serializeBase(llm: MadeLLM, recipe: Recipe | undefined): SerializedBase {
  if (recipe?.kind === 'vendor') return serializeVendor(llm, recipe)
  if (recipe?.kind === 'combination') return serializeCombination(llm, recipe)
  throw unavailable(
    'This LLM was not made by createLLM or a combinator, and cannot cross to the thread that runs blocking calls. Use agenerate().',
  )
}

function serializeVendor(
  llm: MadeLLM,
  { provider, options, hasClient, isRegisteredHere }: VendorRecipe,
): SerializedBase {
  if (hasClient) {
    throw unavailable(
      "This LLM was made from a client, which cannot cross to the thread that runs blocking calls. Make it by its name, such as createLLM('openai', { apiKey }), or use agenerate().",
    )
  }
  if (isRegisteredHere) {
    throw unavailable(
      `The provider ${provider} was registered on this thread, and the one that runs blocking calls does not know it. Use agenerate().`,
    )
  }
  // The schema and the signal stay on this thread, see generateBlocking. Whether the call may block is decided here.
  const { schema: _schema, signal: _signal, blocking: _blocking, apiKey, ...rest } = options
  if (typeof apiKey === 'function') {
    throw unavailable(
      'apiKey is a function, which cannot cross to the thread that runs blocking calls. Pass the key itself, or use agenerate().',
    )
  }
  const crossing = toCloneable({ ...rest, apiKey: apiKey ?? [] }, 'options')
  return { id: replicaId(llm), provider, options: crossing }
}

function serializeCombination(
  llm: MadeLLM,
  { combinator, members, own, options }: CombinationRecipe,
): SerializedBase {
  if (combinator === 'cached') {
    throw unavailable(
      'This LLM has a cache, whose store cannot cross to the thread that runs blocking calls. Use agenerate(), or the LLM behind the cache.',
    )
  }
  // Both stay on this thread, where a call can have only one of each: see generateBlocking.
  for (const option of ['schema', 'signal'] as const) {
    if (members.every(({ defaults }) => defaults[option] === llm.defaults[option])) continue
    if (own[option] !== undefined) continue
    throw unavailable(
      `The LLMs of this ${combinator} differ in their ${option}, which cannot cross to the thread that runs blocking calls. Pass one ${option} to the call, or use agenerate().`,
    )
  }
  const { schema: _schema, signal: _signal, ...rest } = options as GenerateOptions
  return { id: replicaId(llm), combinator, options: toCloneable(rest, 'options') }
}

/**
 * @param session the session object of this thread
 * @throws ConvokeError `blocking_unavailable` for a store that is not in a file, and as `serializeLLM`
 */
export function serializeSession(
  session: object,
  { place, name }: Store,
  llm: MadeLLM,
  options: { id: string; store?: unknown },
): SerializedSession {
  if (!place) {
    throw unavailable(
      `The store ${name} cannot be opened by another thread, so blocking calls cannot write to it. Use agenerate(), or sqliteStore().`,
    )
  }
  const { store: _store, ...rest } = options
  return {
    id: replicaId(session),
    llm: serializeLLM(llm),
    store: place,
    options: toCloneable(rest, 'options'),
  }
}

/** The members of a fan-out, as a list or as a record, as they were given. @throws ConvokeError as `serializeArgument` */
export function serializeMembers(llms: unknown): SerializedArgument {
  if (typeof llms !== 'object' || llms === null || isLLM(llms)) return serializeArgument(llms, 'llms')
  if (Array.isArray(llms)) {
    return { kind: 'list', values: llms.map((llm, at) => serializeArgument(llm, `llms[${at}]`)) }
  }
  const fields = Object.entries(llms).map(([key, llm]) => [key, serializeArgument(llm, `llms.${key}`)])
  return { kind: 'fields', values: Object.fromEntries(fields) as Record<string, SerializedArgument> }
}

/**
 * An argument: an LLM, a strategy, or data.
 * @param name names the argument in an error
 * @throws ConvokeError `blocking_unavailable` for a value that cannot cross
 */
export function serializeArgument(value: unknown, name: string): SerializedArgument {
  if (isLLM(value)) return serializeFacade(value, name)
  const recipe = typeof value === 'object' && value !== null ? recipeOf(value) : undefined
  if (recipe?.kind !== 'strategy') return { kind: 'data', value: toCloneable(value, name, 'setting') }
  const args = recipe.args.map((arg) => serializeArgument(arg, `${name} (${recipe.name})`))
  return { kind: 'strategy', strategy: recipe.name, args }
}

/** The option `blocking` of the LLMs: `allow` when all of them have it. */
export function blockingOf(llms: readonly MadeLLM[]): 'allow' | undefined {
  return llms.length > 0 && llms.every(mayAlwaysBlock) ? 'allow' : undefined
}

/** The option `blocking` of a fan-out's members: `allow` when all of them have it. */
export function blockingOfMembers(members: unknown): 'allow' | undefined {
  const all = Object.values(members ?? {}) as unknown[]
  return all.every(isFacade) ? blockingOf(all.map(({ backend }) => backend)) : undefined
}

function mayAlwaysBlock(llm: MadeLLM): boolean {
  const recipe = recipeOf(llm)
  if (recipe?.kind === 'vendor') return recipe.options.blocking === 'allow'
  return recipe?.kind === 'combination' && recipe.members.every(mayAlwaysBlock)
}

/** Whether the value can be asked like an LLM. Members that users wrote themselves count too. */
function isLLM(value: unknown): boolean {
  return typeof (value as { agenerate?: unknown } | null | undefined)?.agenerate === 'function'
}

function isFacade(value: unknown): value is Facade {
  const { backend } = (value ?? {}) as Partial<Facade>
  return typeof backend === 'object' && backend !== null && recipeOf(backend) !== undefined
}

function serializeFacade(llm: unknown, name: string): SerializedArgument {
  if (!isFacade(llm)) {
    throw unavailable(
      `${name} was not made by createLLM or a combinator, and cannot cross to the thread that runs blocking calls. Await the call instead.`,
    )
  }
  const { provider, model, backend } = llm
  try {
    const crossing = withProvider(provider, () => serializeLLM(backend))
    refuseSchemaAndSignal(backend.defaults, name)
    return { kind: 'llm', llm: crossing }
  } catch (error) {
    if (!isConvokeError(error) || error.code === 'blocking_unavailable' || error.code === 'cancelled')
      throw error
    // Another error, such as that of a closed LLM, concerns this member alone: it becomes the member's reply.
    const { stack, ...data } = serializeError(error)
    // A user's Error.prepareStackTrace may give any value as a stack, even one that cannot cross.
    const crossing = typeof stack === 'string' ? { ...data, stack } : data
    return { kind: 'failed', provider, model, error: crossing }
  }
}

/** Neither of them crosses with an LLM: see serializeVendor. */
function refuseSchemaAndSignal({ schema, signal }: GenerateOptions, name: string): void {
  refuseSignal(signal)
  if (!schema) return
  throw unavailable(
    `${name} has a schema of its own, which runs on this thread, where only one call at a time can ask it. Await the call instead.`,
  )
}
