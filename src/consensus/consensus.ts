/** consensus: many LLMs answer one question, and a strategy finds what they agree on. */
import { randomInt } from 'node:crypto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { beginCall } from '../threads/calls-in-flight.ts'
import { ConvokeError } from '../errors.ts'
import { memberSlots } from '../fan-out/members.ts'
import { deadlineRule, perMember } from '../fan-out/per-member.ts'
import type { Members, PromptForMembers } from '../fan-out/members.ts'
import type { PerMember } from '../fan-out/per-member.ts'
import { checkCallOptions } from '../options/call-options.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { answerKind, normalizeText } from './answer.ts'
import type { Tolerance } from './answer.ts'
import { majority } from './count.ts'
import { ConsensusRun } from './consensus-run.ts'
import type { Plan } from './consensus-run.ts'
import { EventLog } from './progress.ts'
import type { ConsensusEvent } from './progress.ts'
import { answerEquality } from './answer-equality.ts'
import type { Strategy, StrategyFunction } from './strategy.ts'
import type { Verdict } from './verdict.ts'

/** Options of every member's call (a `schema` makes objects of the answers), and of the consensus. */
export interface ConsensusOptions<
  Output = unknown,
  Choice extends string = string,
  Difference extends Tolerance = Tolerance,
> extends GenerateOptions<Output> {
  /** @default majority() */
  strategy?: Strategy | StrategyFunction
  /** The answer is one of these texts. A line that says so is added to the prompt; other replies are not counted. */
  choices?: readonly Choice[]
  /**
   * The answer is a number, and numbers that differ by no more are the same; with a `schema`, the numbers inside. 0 takes
   * equal numbers alone. A line that asks for a number is added to the prompt, but with a `schema`.
   */
  tolerance?: Difference
  /** Whether objects are voted on as a whole, or each of their fields by itself. @default 'whole' */
  vote?: 'whole' | 'fields'
  /** Votes that are needed for more than `degraded`. @default more than half of the members; of `unanimous`, all */
  quorum?: number
  /** How long all of it may take, its judge and its rounds included, in milliseconds. @default no limit */
  timeoutMs?: number
  /**
   * How long a member may take in each round: for all, in a list, or by key. Set it below `timeoutMs` where a
   * judge needs time behind the last member. @default what is left of `timeoutMs`
   */
  memberTimeoutMs?: PerMember<number>
  /** Most rounds: while there is no agreement, members see what others answered, and answer again. @default 1 */
  rounds?: number
  /** Agreement, 0 to 1, below which a further round is asked. @default any that the strategy takes for agreed */
  confidence?: number
  /** Decides the order in which answers are shown to a judge or to members: the same seed, the same order. @default random */
  shuffleSeed?: number
}

/** What members are asked for: the value of a schema, one of the choices, a number, or else a text. */
export type AnswerTo<Output, Choice extends string, Difference extends Tolerance> = [Output] extends [never]
  ? [Choice] extends [never]
    ? [Difference] extends [never]
      ? string
      : number
    : Choice
  : Output

/**
 * Asks all members, and finds what they agree on. It stops as soon as no answer that is outstanding can change the result,
 * and cancels the rest. `await` gives the verdict; `for await` the progress.
 *
 * Members that fail, or are late, are listed in the verdict and do not reject it: it rejects only with `cancelled`, when
 * `signal` or `cancel()` ends it; `error.partial` has the usage of all that were asked, and each in `lost`.
 *
 * @throws ConvokeError `invalid_request` at once, where there is nobody to ask or an option is wrong
 */
export function consensus<
  Output = never,
  const Choice extends string = never,
  const Difference extends Tolerance = never,
>(
  llms: Members,
  prompt: PromptForMembers,
  options?: ConsensusOptions<Output, Choice, Difference>,
): Consensus<AnswerTo<Output, Choice, Difference>>
export function consensus(
  llms: Members,
  prompt: PromptForMembers,
  options: ConsensusOptions = {},
): Consensus {
  // A strategy of the user's own is asked for its weights and its quorum.
  const end = beginCall()
  try {
    return new Consensus(planOf(llms, prompt, options))
  } finally {
    end()
  }
}

/**
 * A consensus that runs. A thenable: `await` gives its verdict. Iterated with `for await`, it tells its progress from the
 * first event on, to any number of readers; leaving the loop before it is decided cancels it.
 */
export class Consensus<Answer = unknown>
  implements PromiseLike<Verdict<Answer>>, AsyncIterable<ConsensusEvent<Answer>>
{
  /** Rejects with `cancelled` alone. */
  readonly verdict: Promise<Verdict<Answer>>
  readonly #run: ConsensusRun
  readonly #log = new EventLog<ConsensusEvent>()

  /** @internal */
  constructor(plan: Plan) {
    this.#run = new ConsensusRun(plan, (event) => this.#log.add(event))
    this.verdict = this.#run.run() as Promise<Verdict<Answer>>
    this.verdict.then(
      (verdict) => {
        this.#log.add({ type: 'decided', verdict })
        this.#log.end()
      },
      (error: unknown) => this.#log.end({ error }),
    )
  }

  then<Value = Verdict<Answer>, Failure = never>(
    onVerdict?: ((verdict: Verdict<Answer>) => Value | PromiseLike<Value>) | null,
    onError?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Value | Failure> {
    return this.verdict.then(onVerdict, onError)
  }

  /** Ends all that runs; the verdict rejects with `cancelled`. Once decided, it does nothing. */
  cancel(reason?: unknown): void {
    this.#run.cancel(reason)
  }

  [Symbol.asyncIterator](): AsyncGenerator<ConsensusEvent<Answer>, void, void> {
    return this.#log.read(() => this.cancel('the loop was left')) as AsyncGenerator<
      ConsensusEvent<Answer>,
      void,
      void
    >
  }
}

function planOf(llms: Members, prompt: PromptForMembers, options: ConsensusOptions): Plan {
  const { strategy: given, choices, tolerance, vote = 'whole', quorum, timeoutMs, ...more } = options ?? {}
  const { memberTimeoutMs, rounds = 1, confidence, shuffleSeed, signal, ...callOptions } = more
  checkCallOptions(options && { ...callOptions, ...(signal ? { signal } : {}) })
  const strategy = strategyOf(given)
  const slots = memberSlots(llms)
  const { schema } = callOptions
  checkCounts({ quorum, rounds, timeoutMs, confidence, shuffleSeed }, slots.length)
  checkVote(vote, strategy, schema)
  return {
    slots,
    prompt,
    signal,
    strategy,
    options: callOptions,
    kind: answerKind({
      ...(choices ? { choices } : {}),
      ...(tolerance === undefined ? {} : { tolerance }),
      ...(schema ? { schema } : {}),
      byField: vote === 'fields',
    }),
    weights: strategy.weights?.(slots) ?? slots.map(() => 1),
    equality: answerEquality(strategy.normalize ?? normalizeText, tolerance),
    byField: vote === 'fields',
    quorum: quorum ?? strategy.quorum?.(slots.length) ?? Math.floor(slots.length / 2) + 1,
    timeoutMs,
    memberDeadlines: perMember(memberTimeoutMs, slots, deadlineRule('memberTimeoutMs')),
    rounds,
    confidence,
    shuffleSeed: shuffleSeed ?? randomInt(2 ** 32),
  }
}

function strategyOf(given: Strategy | StrategyFunction | undefined): Strategy {
  if (given === undefined) return majority()
  if (typeof given === 'function') {
    const decide: Strategy['decide'] = async (ballot, context) => {
      const ruling = await given(ballot, context)
      if (typeof ruling?.isAgreed === 'boolean') return { reason: 'The strategy says so.', ...ruling }
      throw new ConvokeError('invalid_request', 'A strategy has to give { answer, isAgreed }')
    }
    return { name: given.name || 'function', decide }
  }
  if (typeof given?.decide === 'function') return given
  throw new ConvokeError(
    'invalid_request',
    `The strategy is ${JSON.stringify(given)}; it takes majority(), unanimous(), weighted({ weights }), judge(llm), synthesize(llm), cluster(), or a function.`,
  )
}

function checkCounts(
  given: Record<'quorum' | 'rounds' | 'timeoutMs' | 'confidence' | 'shuffleSeed', number | undefined>,
  members: number,
): void {
  const isWhole = (from: number, to: number) => (value: number) =>
    Number.isInteger(value) && value >= from && value <= to
  const rules: Record<keyof typeof given, [(value: number) => boolean, string]> = {
    quorum: [isWhole(1, members), `a whole number from 1 to ${members}, the number of members`],
    rounds: [isWhole(1, 100), 'a whole number from 1 to 100'],
    timeoutMs: [(value) => value > 0, 'milliseconds above 0, or Infinity'],
    confidence: [(value) => value >= 0 && value <= 1, 'a number from 0 to 1'],
    shuffleSeed: [Number.isFinite, 'a number'],
  }
  for (const [name, [isRight, wanted]] of Object.entries(rules)) {
    const value = given[name as keyof typeof given]
    if (value === undefined || (typeof value === 'number' && isRight(value))) continue
    throw new ConvokeError('invalid_request', `The option ${name} is ${String(value)}; it takes ${wanted}.`)
  }
}

function checkVote(vote: unknown, strategy: Strategy, schema: StandardSchemaV1 | undefined): void {
  if (vote === 'whole') return
  if (vote !== 'fields') {
    throw new ConvokeError(
      'invalid_request',
      `The option vote is ${JSON.stringify(vote)}; it takes 'whole' or 'fields'.`,
    )
  }
  if (schema && strategy.votesOnFields) return
  const why = schema ? `the strategy ${strategy.name} takes answers as a whole` : 'there is no schema'
  throw new ConvokeError(
    'invalid_request',
    `Fields cannot be voted on: ${why}. Use majority, weighted or unanimous with a schema.`,
  )
}
