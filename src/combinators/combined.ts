/** Combinators by their names: the blocking thread makes its twins so. */
import type { LLM } from '../llm.ts'
import type { PlainCombination } from '../protocol.ts'
import { balance } from './balance.ts'
import { fallback } from './fallback.ts'
import { hedge } from './hedge.ts'
import type { HedgeOptions } from './hedge.ts'
import { withDefaults } from './with-defaults.ts'

export function combined(
  combinator: PlainCombination['combinator'],
  members: readonly LLM[],
  options: object,
): LLM {
  const [first, ...others] = members as [LLM, ...LLM[]]
  switch (combinator) {
    case 'fallback':
      return fallback(first, ...others, options)
    case 'hedge':
      return hedge(first, ...others, options as HedgeOptions)
    case 'balance':
      return balance(members, options)
    case 'withDefaults':
      return withDefaults(first, options)
    default:
      return combinator satisfies never
  }
}
