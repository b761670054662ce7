/** The limit of a whole blocking call, in milliseconds. Nobody can cancel such a call, so each one has a limit. */
import { settingsOf } from '../options/settings.ts'
import type { SerializedArgument, SerializedLLM, SerializedTarget } from './protocol.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

const defaultMs = settingsOf({}).timeouts.totalMs

/**
 * The limit of a call to one LLM or session.
 * @param options those of the call, merged over the defaults of the LLM
 */
export function limitOf(target: SerializedTarget, options: GenerateOptions): number {
  const totalMs = ownLimitOf(options)
  if (totalMs !== defaultMs) return totalMs
  switch (target.kind) {
    case 'llm':
      return limitOfLLM(target.llm)
    case 'session':
      // A turn may have its history summarised first, by a call of its own.
      return 2 * limitOfLLM(target.session.llm)
    case 'library':
      return totalMs
  }
}

/**
 * The limit of a fan-out or a consensus. Its members are asked at the same time, so the most patient one counts. In a
 * consensus, each round may be followed by a call to a judge.
 */
export function limitOfMany(
  method: 'fanOut' | 'consensus',
  members: SerializedArgument,
  options: GenerateOptions,
): number {
  const { timeoutMs, rounds = 1 } = options as { timeoutMs?: number; rounds?: number }
  if (typeof timeoutMs === 'number') return timeoutMs
  const totalMs = ownLimitOf(options)
  const longestMs = totalMs === defaultMs ? Math.max(defaultMs, ...llmsOf(members).map(limitOfLLM)) : totalMs
  return method === 'consensus' && typeof rounds === 'number' ? (longestMs + defaultMs) * rounds : longestMs
}

/** Combined LLMs may be asked one after the other, so their limits add up. */
function limitOfLLM(llm: SerializedLLM): number {
  const totalMs = ownLimitOf(llm.options as GenerateOptions)
  if (!('combinator' in llm) || totalMs !== defaultMs) return totalMs
  return llm.members.reduce((sum, member) => sum + limitOfLLM(member), 0)
}

function ownLimitOf({ timeouts }: GenerateOptions): number {
  return timeouts?.totalMs ?? defaultMs
}

function llmsOf(argument: SerializedArgument): SerializedLLM[] {
  switch (argument.kind) {
    case 'llm':
      return [argument.llm]
    case 'list':
      return argument.values.flatMap(llmsOf)
    case 'fields':
      return Object.values(argument.values).flatMap(llmsOf)
    default:
      return []
  }
}
