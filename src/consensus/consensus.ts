/** consensus: many LLMs answer one question, and a strategy decides on one answer. */
import { randomInt } from 'node:crypto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { beginCall } from '../threads/calls-in-flight.ts'
import { ConvokeError } from '../errors.ts'
import { memberSlots } from '../fan-out/members.ts'
import { perMember } from '../fan-out/per-member.ts'
import type { Members, PromptForMembers } from '../fan-out/members.ts'
import type { PerMember } from '../fan-out/per-member.ts'
import { checkCallOptions } from '../options/call-rules.ts'
import { describeValue, optionsError } from '../options/check-options.ts'
import type { GenerateOptions } from '../options/generate-options.ts'
import { limitMs } from '../options/option-rules.ts'
import { answerKind, normalizeText } from './answer.ts'
import type { Tolerance } from './answer.ts'
import { majority } from './count.ts'
import { consensusRules } from './consensus-rules.ts'
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
   * The answer is a number, and numbers that differ by no more than this count as one; with a `schema` this holds for the
   * numbers inside the object. With 0 only equal numbers count as one. Without a `schema` the prompt gets a line that asks
   * for a number.
   */
  tolerance?: Difference
  /** Whether objects are voted on as a whole, or each of their fields by itself. @default 'whole' */
  vote?: 'whole' | 'fields'
  /** Fewer votes than this make the verdict `degraded`. @default more than half of the members; all for `unanimous` */
  quorum?: number
  /** How long the whole consensus may take, with its judge and its rounds, in milliseconds. @default no limit */
  timeoutMs?: number
  /**
   * How long a member may take in each round, in milliseconds: one number for all, a list, or an object by key. Set it
   * below `timeoutMs` where a judge needs time after the last member. @default the rest of `timeoutMs`
   */
  memberTimeoutMs?: PerMember<number>
  /**
   * The most rounds. While there is no agreement, members see what the others answered, and answer again. @default 1
   */
  rounds?: number
  /** Agreement, from 0 to 1, below which there is a further round. @default as the strategy decides */
  confidence?: number
  /** The same seed shows answers to a judge, or to members, in the same order. @default random */
  shuffleSeed?: number
}

/** The answer that members are asked for: the value of a schema, one of the choices, a number, or else a text. */
export type AnswerTo<Output, Choice extends string, Difference extends Tolerance> = [Output] extends [never]
  ? [Choice] extends [never]
    ? [Difference] extends [never]
      ? string
      : number
    : Choice
  : Output

/**
 * Asks all members, and finds the answer that they agree on. It stops as soon as no outstanding answer can change the
 * result, and cancels the calls that still run. `await` gives the verdict, `for await` the events on the way to it.
 *
 * The verdict lists members that failed or were late; they do not reject it. It rejects only with `cancelled`, when
 * `signal` or `cancel()` ends it. `error.partial` then has the usage of all calls, and each call in `otherAttempts`.
 *
 * @throws ConvokeError `invalid_request` at once, where there is no member or an option is wrong
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
  // The plan calls the strategy for its weights and its quorum, and it may be the user's own.
  const end = beginCall()
  try {
    return new Consensus(planOf(llms, prompt, options))
  } finally {
    end()
  }
}

/**
 * A running consensus. `await` gives its verdict, and `for await` its events from the first one on, to any number of
 * readers. Leaving such a loop before the decision cancels the consensus.
 */
export class Consensus<Answer = unknown>
  implements PromiseLike<Verdict<Answer>>, AsyncIterable<ConsensusEvent<Answer>>
{
  /** Rejects with nothing but `cancelled`, or the time-out of the caller that started it. */
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

  /** Waits for the verdict, so that `await` gives it. */
  then<Value = Verdict<Answer>, Failure = never>(
    onVerdict?: ((verdict: Verdict<Answer>) => Value | PromiseLike<Value>) | null,
    onError?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Value | Failure> {
    return this.verdict.then(onVerdict, onError)
  }

  /** Cancels all calls, and the verdict rejects with `cancelled`. After the decision it does nothing. */
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
  const { choices, signal, ...given } = options ?? {}
  const slots = memberSlots(llms)
  const checked = { ...given, ...(choices ? { choices } : {}), ...(signal ? { signal } : {}) }
  checkCallOptions(options && checked, { label: 'consensus', rules: consensusRules(slots.length) })
  const { strategy: givenStrategy, tolerance, vote = 'whole', quorum, timeoutMs, ...more } = given
  const { memberTimeoutMs, rounds = 1, confidence, shuffleSeed, ...callOptions } = more
  const { schema } = callOptions
  const strategy = strategyOf(givenStrategy)
  if (vote === 'fields') checkVoteOnFields(strategy, schema)
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
    memberDeadlines: perMember(memberTimeoutMs, slots, {
      name: 'memberTimeoutMs',
      rule: limitMs,
      label: 'consensus',
    }),
    rounds,
    confidence,
    shuffleSeed: shuffleSeed ?? randomInt(2 ** 32),
  }
}

function strategyOf(given: Strategy | StrategyFunction | undefined): Strategy {
  if (given === undefined) return majority()
  if (typeof given !== 'function') return given
  const decide: Strategy['decide'] = async (ballot, context) => {
    const ruling = await given(ballot, context)
    if (typeof ruling?.isAgreed === 'boolean') return { reason: 'The strategy decided so.', ...ruling }
    throw new ConvokeError(
      'invalid_request',
      `A strategy function gave ${describeValue(ruling)}; it has to give { answer, isAgreed }.`,
    )
  }
  return { name: given.name || 'function', decide }
}

/** @throws ConvokeError `invalid_request` where fields cannot be voted on */
function checkVoteOnFields(strategy: Strategy, schema: StandardSchemaV1 | undefined): void {
  if (schema && strategy.votesOnFields) return
  const why = schema
    ? `the strategy ${strategy.name} compares whole answers only`
    : "there is no schema, and only an object's fields can be voted on"
  throw optionsError(
    { code: 'invalid_request', label: 'consensus' },
    `The option vote is "fields", but ${why}. Use majority, weighted or unanimous with a schema.`,
  )
}
