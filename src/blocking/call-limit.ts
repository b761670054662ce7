/** How long a blocking call may take as a whole: nobody can cancel it, so it has to have an end. */
import { settingsOf } from '../options/settings.ts'
import type { BlockingTarget, SerializedArgument, SerializedLLM } from './protocol.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

const defaultMs = settingsOf({}).timeouts.totalMs

/** @param options those of the call over those of its owner */
export function limitOf(target: BlockingTarget, options: GenerateOptions): number {
  const totalMs = ownOf(options)
  if (totalMs !== defaultMs) return totalMs
  switch (target.kind) {
    case 'llm':
      return totalOf(target.llm)
    case 'session':
      // A turn may have its history summarised first.
      return 2 * totalOf(target.session.llm)
    case 'library':
      return totalMs
  }
}

/** Of members that are asked at the same time; of a consensus in rounds, behind each of which a judge may be asked. */
export function limitOfMany(
  method: 'fanOut' | 'consensus',
  members: SerializedArgument,
  options: GenerateOptions,
): number {
  const { timeoutMs, rounds = 1 } = options as { timeoutMs?: number; rounds?: number }
  if (typeof timeoutMs === 'number') return timeoutMs
  const totalMs = ownOf(options)
  const longest = totalMs === defaultMs ? Math.max(defaultMs, ...llmsOf(members).map(totalOf)) : totalMs
  return method === 'consensus' && typeof rounds === 'number' ? (longest + defaultMs) * rounds : longest
}

/** Of LLMs that are asked one after the other, all of them. */
function totalOf(llm: SerializedLLM): number {
  const totalMs = ownOf(llm.options as GenerateOptions)
  if (!('combinator' in llm) || totalMs !== defaultMs) return totalMs
  return llm.members.reduce((sum, member) => sum + totalOf(member), 0)
}

function ownOf({ timeouts }: GenerateOptions): number {
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
