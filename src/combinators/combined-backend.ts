/** LLMs in, an LLM out: what all combinators have in common behind the facade. */
import type { Candidate, Backend, CallScope, PromptFor } from '../llm/backend.ts'
import type { RequestOptions, GenerateOptions } from '../options/generate-options.ts'
import { ConvokeError, withProvider } from '../errors.ts'
import { LLM } from '../llm/llm.ts'
import { plainTextDefaults, mergeOptions } from '../options/settings.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { discard, noteRecipe } from '../threads/recipe.ts'
import type { Combinator } from '../threads/recipe.ts'
import type { TokenCount } from '../tokens/count-tokens.ts'
import type { ModelInfo, Prompt, PullProgress } from '../types.ts'
import { CombinedCall } from './combined-call.ts'
import type { CombinedWork } from './combined-call.ts'

export interface Combination {
  name: Combinator | 'cached'
  members: readonly LLM[]
  /** Options of its calls, merged over the members' defaults. */
  own?: GenerateOptions
  work: CombinedWork
  /** The options of the combinator, from which another thread can make a replica. */
  options: object
}

export function combine(combination: Combination): LLM {
  return new LLM(new CombinedBackend(combination))
}

class CombinedBackend implements Backend {
  readonly provider: string
  readonly model: string | undefined
  readonly defaults: Readonly<GenerateOptions>
  readonly #combination: Combination
  readonly #own: GenerateOptions
  readonly #members: readonly Backend[]
  readonly #calls = new Set<CombinedCall>()
  #isClosed = false

  constructor(combination: Combination) {
    const { name, members, own = {} } = combination
    this.#combination = combination
    this.#own = mergeOptions({}, own)
    this.#members = members.map(({ backend }) => backend)
    this.provider = commonValue(this.#members.map(({ provider }) => provider)) ?? name
    this.model = own.model ?? commonValue(this.#members.map(({ model }) => model))
    this.defaults = mergeOptions(commonOptions(this.#members.map(({ defaults }) => defaults)), this.#own)
    const { options } = combination
    noteRecipe(this, {
      kind: 'combination',
      combinator: name,
      members: this.#members,
      own: this.#own,
      options,
    })
  }

  get leaves(): readonly Backend[] {
    return [...new Set(this.#members.flatMap(({ leaves }) => leaves))]
  }

  get activity(): { running: number; queued: number } {
    const all = this.leaves.map(({ activity }) => activity)
    return {
      running: all.reduce((sum, { running }) => sum + running, 0),
      queued: all.reduce((sum, { queued }) => sum + queued, 0),
    }
  }

  call(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): CombinedCall {
    return withProvider(this.provider, () => {
      this.throwIfClosed()
      checkCallOptions(options)
      const call: CombinedCall = new CombinedCall({
        provider: this.provider,
        model: this.model,
        prompt,
        options: this.#mergeOverOwn(options, scope),
        defaults: this.defaults,
        scope,
        work: this.#combination.work,
        onEnd: () => this.#calls.delete(call),
      })
      this.#calls.add(call)
      return call
    })
  }

  candidates(options: GenerateOptions): Candidate[] {
    return this.#members.flatMap((member) => member.candidates(this.#mergeOverOwn(options)))
  }

  identity(prompt: PromptFor, options: GenerateOptions, scope: CallScope = {}): unknown {
    const given = this.#mergeOverOwn(options, scope)
    const [only, ...others] = this.#members.map((member) => member.identity(prompt, given, scope))
    return others.length === 0 ? only : { [this.#combination.name]: [only, ...others] }
  }

  /** The first member counts, since combinators with an order ask it first. */
  async countTokens(
    prompt: Prompt,
    { exact, ...options }: GenerateOptions & { exact?: boolean },
  ): Promise<TokenCount> {
    this.throwIfClosed()
    const given = this.#mergeOverOwn(options)
    return this.#first.countTokens(prompt, { ...given, ...(exact === undefined ? {} : { exact }) })
  }

  async listModels(options: RequestOptions): Promise<ModelInfo[]> {
    return this.#only.listModels(options)
  }

  async showModel(model: string, options: RequestOptions): Promise<ModelInfo> {
    return this.#only.showModel(model, options)
  }

  async deleteModel(model: string, options: RequestOptions): Promise<void> {
    return this.#only.deleteModel(model, options)
  }

  async *pullModel(model: string, options: RequestOptions): AsyncGenerator<PullProgress, void, void> {
    yield* this.#only.pullModel(model, options)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    discard(this)
  }

  /** The options of a call, merged over the combinator's own. */
  #mergeOverOwn(options: GenerateOptions, { isPlainText = false }: CallScope = {}): GenerateOptions {
    return mergeOptions(isPlainText ? plainTextDefaults(this.#own) : this.#own, options)
  }

  get #first(): Backend {
    return this.#members[0] as Backend
  }

  /** The member. @throws ConvokeError `invalid_request` where there are several */
  get #only(): Backend {
    this.throwIfClosed()
    if (this.#members.length === 1) return this.#first
    const message = `This LLM is a ${this.#combination.name} of ${this.#members.length} others, and each has models of its own. Ask one of them.`
    throw new ConvokeError('invalid_request', message, { provider: this.provider })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  throwIfClosed(): void {
    if (!this.#isClosed) return
    const { name } = this.#combination
    throw new ConvokeError('configuration', `This LLM was closed. Make another with ${name}().`)
  }
}

/** The value that all are equal to; undefined where they differ. */
function commonValue<T>(values: readonly T[]): T | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined
}

/** The options that are equal in all members. */
function commonOptions(all: readonly GenerateOptions[]): GenerateOptions {
  const [first = {}, ...others] = all
  const names = Object.keys(first) as (keyof GenerateOptions)[]
  const shared = names.filter((name) => others.every((other) => other[name] === first[name]))
  return Object.fromEntries(shared.map((name) => [name, first[name]]))
}
