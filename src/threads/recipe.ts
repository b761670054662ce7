/**
 * How LLMs and strategies were made, for another thread to make them again. A recipe is kept beside the object, since a
 * field of any name may stand in a user's data. Nothing here knows which thread reads the recipes.
 */
import type { GenerateOptions } from '../options/generate-options.ts'
import type { LLMOptions } from '../options/llm-options.ts'

/** The functions that make one LLM of several, and that another thread can call again. */
export type Combinator = 'fallback' | 'hedge' | 'balance' | 'withDefaults'

/** The part of an LLM that recipes need. */
export interface MadeLLM {
  readonly provider: string
  readonly defaults: Readonly<GenerateOptions>
  readonly isClosed: boolean
  /** @throws ConvokeError `configuration` when the LLM was closed */
  throwIfClosed(): void
}

export type Recipe =
  | {
      kind: 'vendor'
      provider: string
      /** With the keys and the address that the environment had when the LLM was made: it may have changed since. */
      options: LLMOptions
      /** The LLM was made from a vendor's client. */
      hasClient: boolean
      /** The provider was added by `registerProvider`, which other threads do not know of. */
      isRegisteredHere: boolean
    }
  | {
      kind: 'combination'
      combinator: Combinator | 'cached'
      members: readonly MadeLLM[]
      /** The options of its calls, laid over those of the members. */
      own: GenerateOptions
      /** The options of the combinator. */
      options: object
    }
  | { kind: 'strategy'; name: string; args: readonly unknown[] }

const recipes = new WeakMap<object, Recipe>()
const discardListeners: ((made: object) => void)[] = []

/** Keeps the recipe beside the object, and gives the object back. */
export function noteRecipe<Made extends object>(made: Made, recipe: Recipe): Made {
  recipes.set(made, recipe)
  return made
}

/** Keeps the name of the function and the arguments that made a strategy. */
export function madeBy<Made extends object>(name: string, args: readonly unknown[], made: Made): Made {
  return noteRecipe(made, { kind: 'strategy', name, args })
}

export function recipeOf(made: object): Recipe | undefined {
  return recipes.get(made)
}

/** Tells other threads' copies that the object was closed. */
export function discard(made: object): void {
  for (const listener of discardListeners) listener(made)
}

/** Calls the listener with each object that is discarded from now on. */
export function onDiscard(listener: (made: object) => void): void {
  discardListeners.push(listener)
}
