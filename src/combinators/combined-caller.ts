/** LLMs in, an LLM out: what all combinators have in common behind the facade. */
import { Twin } from '../blocking/channel.ts'
import { portable } from '../blocking/portable.ts'
import { unavailable } from '../blocking/in-flight.ts'
import type { Answerer, Caller, CallSetting, PromptFor, RequestOptions } from '../caller.ts'
import { ConvokeError, labelled } from '../errors.ts'
import { LLM } from '../llm.ts'
import { checkCallOptions, mergeOptions, plainTextDefaults } from '../options.ts'
import type { PlainCombination, PlainLLM } from '../protocol.ts'
import type { TokenCount } from '../tokens.ts'
import type { GenerateOptions, ModelInfo, Prompt, PullProgress } from '../types.ts'
import { CombinedCall } from './combined-call.ts'
import type { Work } from './combined-call.ts'

export interface Combination {
  name: PlainCombination['combinator'] | 'cached'
  members: readonly LLM[]
  /** What calls take over what the members take. */
  own?: GenerateOptions
  work: Work
  /** As it was given to the combinator, for the blocking thread. */
  options: object
}

export function combine(combination: Combination): LLM {
  return new LLM(new CombinedCaller(combination))
}

class CombinedCaller implements Caller {
  readonly provider: string
  readonly model: string | undefined
  readonly defaults: Readonly<GenerateOptions>
  readonly blocking: 'allow' | undefined
  readonly #combination: Combination
  readonly #own: GenerateOptions
  readonly #members: readonly Caller[]
  readonly #calls = new Set<CombinedCall>()
  #plain: Omit<PlainCombination, 'members'> | undefined
  /** In the blocking thread. */
  readonly #twin = new Twin()
  #isClosed = false

  constructor(combination: Combination) {
    const { name, members, own = {} } = combination
    this.#combination = combination
    this.#own = mergeOptions({}, own)
    this.#members = members.map(({ caller }) => caller)
    this.provider = same(this.#members.map(({ provider }) => provider)) ?? name
    this.model = own.model ?? same(this.#members.map(({ model }) => model))
    this.defaults = mergeOptions(common(this.#members.map(({ defaults }) => defaults)), this.#own)
    this.blocking = same(this.#members.map(({ blocking }) => blocking))
  }

  get leaves(): readonly Caller[] {
    return [...new Set(this.#members.flatMap(({ leaves }) => leaves))]
  }

  get activity(): { running: number; queued: number } {
    const all = this.leaves.map(({ activity }) => activity)
    return {
      running: all.reduce((sum, { running }) => sum + running, 0),
      queued: all.reduce((sum, { queued }) => sum + queued, 0),
    }
  }

  call(prompt: PromptFor, options: GenerateOptions, setting: CallSetting = {}): CombinedCall {
    return labelled(this.provider, () => {
      this.#throwIfClosed()
      checkCallOptions(options)
      const call: CombinedCall = new CombinedCall({
        provider: this.provider,
        model: this.model,
        prompt,
        options: this.#over(options, setting),
        defaults: this.defaults,
        setting,
        work: this.#combination.work,
        onEnd: () => this.#calls.delete(call),
      })
      this.#calls.add(call)
      return call
    })
  }

  answerers(options: GenerateOptions): Answerer[] {
    return this.#members.flatMap((member) => member.answerers(this.#over(options)))
  }

  identity(prompt: PromptFor, options: GenerateOptions, setting: CallSetting = {}): unknown {
    const given = this.#over(options, setting)
    const [only, ...others] = this.#members.map((member) => member.identity(prompt, given, setting))
    return others.length === 0 ? only : { [this.#combination.name]: [only, ...others] }
  }

  /** The first member counts: it is asked first, where there is an order. */
  async countTokens(
    prompt: Prompt,
    { exact, ...options }: GenerateOptions & { exact?: boolean },
  ): Promise<TokenCount> {
    this.#throwIfClosed()
    const given = this.#over(options)
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

  plain(isMember = false): PlainLLM {
    if (!isMember) this.#throwIfClosed()
    const plain = (this.#plain ??= this.#toPlain())
    const members = this.#members.map((member) => member.plain(true))
    return { ...plain, members, ...(this.#isClosed ? { isClosed: true } : {}) }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const call of this.#calls) call.cancel('the LLM was closed')
    this.#twin.forget()
  }

  #toPlain(): Omit<PlainCombination, 'members'> {
    const { name, options } = this.#combination
    if (name === 'cached') {
      throw unavailable(
        'This LLM has a cache, whose store cannot cross to the thread that runs blocking calls. Use agenerate(), or the LLM behind the cache.',
      )
    }
    // They stay on this side, where only one can be had: see generateBlocking.
    for (const option of ['schema', 'signal'] as const) {
      if (this.#members.every(({ defaults }) => defaults[option] === this.defaults[option])) continue
      if (this.#own[option] !== undefined) continue
      throw unavailable(
        `The LLMs of this ${name} have a ${option} each, which cannot cross to the thread that runs blocking calls. Pass it to the call, or use agenerate().`,
      )
    }
    const { schema: _schema, signal: _signal, ...rest } = options as GenerateOptions
    return { id: this.#twin.idFor(this), combinator: name, options: portable(rest, 'options') }
  }

  /** A call's options over its own. */
  #over(options: GenerateOptions, { isPlainText = false }: CallSetting = {}): GenerateOptions {
    return mergeOptions(isPlainText ? plainTextDefaults(this.#own) : this.#own, options)
  }

  get #first(): Caller {
    return this.#members[0] as Caller
  }

  /** @throws ConvokeError `invalid_request` where there are several to ask */
  get #only(): Caller {
    this.#throwIfClosed()
    if (this.#members.length === 1) return this.#first
    const message = `This LLM is a ${this.#combination.name} of ${this.#members.length} others, which have models of their own. Ask one of them.`
    throw new ConvokeError('invalid_request', message, { provider: this.provider })
  }

  #throwIfClosed(): void {
    if (!this.#isClosed) return
    const { name } = this.#combination
    throw new ConvokeError('configuration', `This LLM was closed. Make another with ${name}().`)
  }
}

/** What all values are; nothing where they differ. */
function same<T>(values: readonly T[]): T | undefined {
  return values.every((value) => value === values[0]) ? values[0] : undefined
}

function common(all: readonly GenerateOptions[]): GenerateOptions {
  const [first = {}, ...others] = all
  const names = Object.keys(first) as (keyof GenerateOptions)[]
  const shared = names.filter((name) => others.every((other) => other[name] === first[name]))
  return Object.fromEntries(shared.map((name) => [name, first[name]]))
}
