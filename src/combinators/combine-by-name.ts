/** Calls a combinator by its name. The blocking thread makes its replicas of combined LLMs this way. */
import type { LLM } from '../llm/llm.ts'
import type { Combinator } from '../threads/recipe.ts'
import { balance } from './balance.ts'
import { fallback } from './fallback.ts'
import { hedge } from './hedge.ts'
import { withDefaults } from './with-defaults.ts'

export function combineByName(combinator: Combinator, members: readonly LLM[], options: object): LLM {
  switch (combinator) {
    case 'fallback':
      return fallback(members, options)
    case 'hedge':
      return hedge(members, options)
    case 'balance':
      return balance(members, options)
    case 'withDefaults':
      return withDefaults(members[0] as LLM, options)
    default:
      return combinator satisfies never
  }
}
