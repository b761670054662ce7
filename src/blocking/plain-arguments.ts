/** The arguments of a function that asks several LLMs, as data: the other thread makes LLMs and strategies again. */
import { isConvokeError, labelled } from '../errors.ts'
import { toPlainError } from '../plain-errors.ts'
import type { PlainArgument, PlainLLM } from '../protocol.ts'
import type { GenerateOptions } from '../types.ts'
import { refuseSignal, unavailable } from './in-flight.ts'
import { portable } from './portable.ts'

/** Of an LLM of createLLM or a combinator. */
interface Crossing {
  provider: string
  model: string | undefined
  plain(): PlainLLM
  blocker(): { defaults: GenerateOptions & { blocking?: 'allow' } }
}

/** How objects of functions were made. Kept beside them: a field of that name may stand in anybody's data. */
const origins = new WeakMap<object, { name: string; args: readonly unknown[] }>()

/** Notes the function and the arguments that made it, for another thread to make it again. */
export function madeBy<Made extends object>(name: string, args: readonly unknown[], made: Made): Made {
  origins.set(made, { name, args })
  return made
}

/** Members, in the shape that they came in. @throws ConvokeError as `plainArgument` */
export function plainMembers(llms: unknown): PlainArgument {
  if (typeof llms !== 'object' || llms === null || answers(llms)) return plainArgument(llms, 'llms')
  if (Array.isArray(llms)) {
    return { kind: 'list', values: llms.map((llm, at) => plainArgument(llm, `llms[${at}]`)) }
  }
  const fields = Object.entries(llms).map(([key, llm]) => [key, plainArgument(llm, `llms.${key}`)])
  return { kind: 'fields', values: Object.fromEntries(fields) as Record<string, PlainArgument> }
}

/**
 * An LLM, a strategy, or data.
 * @param name how an error calls it
 * @throws ConvokeError `blocking_unavailable` for what can never cross
 */
export function plainArgument(value: unknown, name: string): PlainArgument {
  if (answers(value)) return plainMember(value, name)
  const origin = typeof value === 'object' && value !== null ? origins.get(value) : undefined
  if (!origin) return { kind: 'data', value: portable(value, name, 'setting') }
  const args = origin.args.map((arg) => plainArgument(arg, `${name} (${origin.name})`))
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

function plainMember(llm: unknown, name: string): PlainArgument {
  if (!canCross(llm)) {
    throw unavailable(
      `${name} is no LLM of createLLM or a combinator, and cannot cross to the thread that runs blocking calls. Await the call instead.`,
    )
  }
  const { provider, model } = llm
  try {
    const plain = labelled(provider, () => llm.plain())
    refuseOwn(llm.blocker().defaults, name)
    return { kind: 'llm', llm: plain }
  } catch (error) {
    if (!isConvokeError(error) || error.code === 'blocking_unavailable' || error.code === 'cancelled')
      throw error
    // What is wrong with one (it was closed) is that one's alone.
    const { stack, ...plain } = toPlainError(error)
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
