/** LLMs, sessions and stores of the thread that waits, made again in this one. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { createLLM } from '../../llm/llm.ts'
import type { LLM } from '../../llm/llm.ts'
import { deserializeError, serializeErrorsIn } from '../../threads/serialize-error.ts'
import type {
  BlockingOrder,
  BlockingTarget,
  SerializedArgument,
  SerializedLLM,
  SerializedSession,
  SchemaAnswer,
} from '../protocol.ts'
import type { ConsensusOptions } from '../../consensus/consensus.ts'
import type { Strategy } from '../../consensus/strategy.ts'
import type { Member, Members } from '../../fan-out/members.ts'
import type { Prompt } from '../../types.ts'
import type { Session } from '../../session/session.ts'
import type { Store } from '../../store/store.ts'
import { countTokens } from '../../tokens/count-tokens.ts'

/** Asks the thread that waits, which has the schema. */
export type Ask = (value: unknown) => Promise<{ number: number; verdict: SchemaAnswer }>
type Call = Extract<BlockingOrder, { kind: 'call' }>

/** Of the library itself. Most scripts ask one LLM at a time, and need not load what asks many. */
const functions = {
  countTokens,
  async fanOut(
    llms: SerializedArgument,
    prompt: Prompt,
    strategy: SerializedArgument | undefined,
    options: object,
  ) {
    const { fanOut } = await import('../../fan-out/fan-out.ts')
    const given: object = { ...options, ...(strategy ? { strategy: await revived(strategy) } : {}) }
    return serializeErrorsIn(await fanOut((await revived(llms)) as Members, prompt, given))
  },
  async consensus(
    llms: SerializedArgument,
    prompt: Prompt,
    strategy: SerializedArgument | undefined,
    options: object,
  ) {
    const { consensus } = await import('../../consensus/consensus.ts')
    const made = strategy ? { strategy: (await revived(strategy)) as Strategy } : {}
    const given: ConsensusOptions = { ...options, ...made }
    return serializeErrorsIn(await consensus((await revived(llms)) as Members, prompt, given))
  },
}
/** Loaded with the first LLM that is made of others. */
let combinators: typeof import('../../combinators/combine-by-name.ts')
const llms = new Map<number, LLM>()
/** Of combined LLMs, how many of those in them were closed when they were made. */
const closed = new WeakMap<LLM, number>()
const counting = new Set<number>()
const sessions = new Map<number, Session>()
/** By path, the last one used behind all others. */
const stores = new Map<string, SharedStore>()

interface SharedStore {
  store: Store
  /** The sessions that use it. */
  users: Set<number>
  /** Turns that run. */
  turns: number
}

/** A store is a thread of some 20 MB: of those that no turn uses, so many stay open. */
const maxStores = 10

/** Calls a method, and gives what `read` makes of the promise or the stream that it gives. */
export async function run<Value>(
  order: Call,
  ask: Ask,
  read: (given: unknown) => Value,
  signal: AbortSignal,
): Promise<Awaited<Value>> {
  const owner = await ownerOf(order.target)
  const shared = order.target.kind === 'session' ? stores.get(order.target.session.store.path) : undefined
  if (shared) shared.turns++
  try {
    return await read(call(owner, order, ask, signal))
  } finally {
    if (shared) shared.turns--
    makeRoom()
  }
}

function call(owner: object, { method, args, outputSchema }: Call, ask: Ask, signal: AbortSignal): unknown {
  const given = [...args]
  // All take options last. Only what counts here, without a request, takes no signal.
  const isCounting = owner === functions && method === 'countTokens'
  const schema = outputSchema ? { schema: schemaOf(outputSchema, ask) } : {}
  if (!isCounting) given.push({ ...(given.pop() as object), ...schema, signal })
  const methods = owner as Record<string, (...args: unknown[]) => unknown>
  // Not awaited: a stream is no promise, and begins at once.
  return methods[method]?.(...given)
}

/** The twin of an LLM or a session that is gone. */
export async function forget(id: number): Promise<void> {
  const llm = llms.get(id)
  llms.delete(id)
  counting.delete(id)
  const session = sessions.get(id)
  sessions.delete(id)
  await Promise.allSettled([llm?.close(), session?.close()])
  for (const [path, { store, users }] of stores) {
    if (!users.delete(id) || users.size > 0) continue
    stores.delete(path)
    await store.close().catch(() => {})
  }
}

/** A script that never waits is never told which of its sessions are gone; one that was not opens its file once more. */
function makeRoom(): void {
  for (const [path, { store, users, turns }] of stores) {
    if (stores.size <= maxStores) return
    if (turns > 0) continue
    stores.delete(path)
    for (const id of users) sessions.delete(id)
    void store.close().catch(() => {})
  }
}

function ownerOf(target: BlockingTarget): object | Promise<object> {
  switch (target.kind) {
    case 'llm':
      return prepare(target.llm).then(() => llmOf(target.llm))
    case 'session':
      return sessionOf(target.session)
    case 'library':
      return functions
  }
}

/** An argument, with its LLMs and strategies made again. */
async function revived(value: SerializedArgument): Promise<unknown> {
  const [{ strategies }] = await Promise.all([
    import('../../consensus/strategies.ts'),
    import('../../combinators/combine-by-name.ts').then((module) => (combinators ??= module)),
  ])
  const revive = (plain: SerializedArgument): unknown => {
    switch (plain.kind) {
      case 'data':
        return plain.value
      case 'llm':
        return llmOf(plain.llm)
      case 'failed':
        return failing(plain)
      case 'strategy': {
        const make = strategies[plain.strategy as keyof typeof strategies] as (...args: unknown[]) => unknown
        return make(...plain.args.map(revive))
      }
      case 'list':
        return plain.values.map(revive)
      case 'fields':
        return Object.fromEntries(Object.entries(plain.values).map(([key, inner]) => [key, revive(inner)]))
    }
  }
  return revive(value)
}

/** A member that has its error already. */
function failing({ provider, model, error }: Extract<SerializedArgument, { kind: 'failed' }>): Member {
  const failure = () => deserializeError(error)
  return {
    provider,
    model,
    agenerate: () => Promise.reject(failure()),
    stream() {
      throw failure()
    },
  }
}

/** One that was long unused is made anew: a script that never waits is never told which of its LLMs are gone. */
const maxLLMs = 100
/** Of those that would forget what they count: their rate, or what a vendor's failures were. */
const maxCounting = 1_000

function llmOf(plain: SerializedLLM): LLM {
  const { id } = plain
  const known = llms.get(id)
  // One that was closed may have another twin than the one that its combination holds.
  const llm = known && (closed.get(known) ?? 0) === closedIn(plain) ? known : madeOf(plain)
  if (plain.isClosed) void llm.close()
  // The last one used stands last.
  llms.delete(id)
  llms.set(id, llm)
  if ('rateLimit' in plain.options || 'circuitBreaker' in plain.options) counting.add(id)
  if (llms.size > maxLLMs) makeRoomForLLMs()
  return llm
}

/** The one that is longest unused goes, if it counts nothing, nor has calls that run. */
function makeRoomForLLMs(): void {
  const asked = [...llms.keys()].at(-1)
  for (const [id, { activity }] of llms) {
    // Where all others count, the one that is being asked would be made anew each time.
    if (id === asked) return
    if (activity.running + activity.queued > 0) continue
    if (counting.has(id) && counting.size <= maxCounting) continue
    llms.delete(id)
    counting.delete(id)
    return
  }
}

function madeOf(plain: SerializedLLM): LLM {
  if (!('combinator' in plain)) return createLLM(plain.provider, plain.options)
  // Its members have twins of their own, which calls to them use as well.
  const llm = combinators.combineByName(plain.combinator, plain.members.map(llmOf), plain.options)
  closed.set(llm, closedIn(plain))
  return llm
}

function closedIn(plain: SerializedLLM): number {
  if (!('combinator' in plain)) return 0
  return plain.members.reduce((sum, member) => sum + (member.isClosed ? 1 : 0) + closedIn(member), 0)
}

/** Loads what the twin of an LLM is made with. */
async function prepare(plain: SerializedLLM): Promise<void> {
  if ('combinator' in plain) combinators ??= await import('../../combinators/combine-by-name.ts')
}

async function sessionOf({ id, llm, store: place, options }: SerializedSession): Promise<Session> {
  // Most scripts have none, and need not load what keeps them.
  const [{ createSession }, { sqliteStore }] = await Promise.all([
    import('../../session/session.ts'),
    import('../../store/sqlite/sqlite-store.ts'),
    prepare(llm),
  ])
  let session = sessions.get(id)
  const shared = stores.get(place.path) ?? { store: sqliteStore(place), users: new Set(), turns: 0 }
  stores.delete(place.path)
  stores.set(place.path, shared)
  if (!session) {
    session = createSession(llmOf(llm), { ...options, store: shared.store })
    shared.users.add(id)
    sessions.set(id, session)
  }
  session.llm = llmOf(llm)
  return session
}

/** Asks the vendor for the same; the value is judged where the schema is, which keeps what comes of it by its number. */
function schemaOf(outputSchema: Record<string, unknown>, ask: Ask): StandardSchemaV1 {
  const standard: StandardSchemaV1['~standard'] & StandardJSONSchemaV1['~standard'] = {
    version: 1,
    vendor: 'convoke',
    validate: async (value) => {
      const { number, verdict } = await ask(value)
      if (verdict.kind === 'failed') throw Object.assign(new Error(verdict.message), { question: number })
      return verdict.kind === 'fits' ? { value: number } : { issues: verdict.issues }
    },
    jsonSchema: { input: () => outputSchema, output: () => outputSchema },
  }
  return { '~standard': standard }
}
