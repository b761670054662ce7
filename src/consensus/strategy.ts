/** The contract of a strategy: it makes a ruling from votes, and says when no further vote can change it. */
import type { ConvokeError } from '../errors.ts'
import type { Member, MemberInfo } from '../fan-out/members.ts'
import type { GenerateResponse, Prompt, Usage } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/** The answer of one member. */
export interface Vote<Answer = unknown> {
  /** The member's key. */
  member: string
  /** The member's position in the given order, from 0. */
  index: number
  /** The member's provider. */
  provider: string
  /** The member's model; undefined where its calls choose one. */
  model: string | undefined
  /** The answer that was read from the reply. */
  answer: Answer
  /** 1, except under a strategy with weights, such as `weighted`. */
  weight: number
  /** The round of this answer, from 1. */
  round: number
  /** The whole reply. */
  response: GenerateResponse
}

/** The votes so far, and the members that may still vote. */
export interface Ballot<Answer = unknown> {
  /** In the members' order. */
  votes: readonly Vote<Answer>[]
  /** Members that have not answered yet, or are no longer waited for. */
  outstanding: readonly (MemberInfo & { weight: number })[]
  /** Votes that a result needs; with fewer the verdict is `degraded`. */
  quorum: number
  /** The whole answer as one question, or one question for each of its fields. */
  questions: readonly Question[]
  /** Whether two answers count as one. */
  isSame: (a: unknown, b: unknown) => boolean
  /**
   * Gives equal keys for answers that are the same. Undefined with a tolerance: there `a` may be the same as `b`, and `b` as
   * `c`, although `a` and `c` differ.
   */
  keyOf: ((answer: unknown) => string) | undefined
}

/** The subject of a vote: the whole answer, or one field of it. */
export interface Question {
  /** The field's name; absent for the whole answer. */
  field?: string
  /** The part of an answer that this question is about. */
  valueOf(answer: unknown): unknown
}

/** The result of a strategy. */
export interface Ruling {
  /** The answer; undefined where the strategy finds none. */
  answer?: unknown
  /** Whether the strategy's condition holds; otherwise the verdict is `split`. */
  isAgreed: boolean
  /** The strategy lacked something that it needs, such as its judge: the verdict is `degraded`. */
  isDegraded?: boolean
  /** Further answers could not change it, so no quorum is needed (a different answer where all must agree). */
  needsNoQuorum?: boolean
  /** From 0 to 1. @default the weight of `supporters`, divided by the weight of all votes and of `outstanding` */
  agreement?: number
  /** The votes for the answer. @default the votes whose answer is the same */
  supporters?: readonly Vote[]
  /** Why, in words. */
  reason: string
  /** The result of each field, where fields were voted on one by one. */
  fields?: Record<string, FieldRuling>
}

/** The result of the vote on one field. */
export interface FieldRuling {
  /** The field's value that has the most votes. */
  answer: unknown
  /** The share of the votes for it, from 0 to 1. */
  agreement: number
  /** Whether the strategy's condition holds for this field. */
  isAgreed: boolean
}

/** The call of a judge or a synthesizer. */
export interface Consultation {
  /** Such as `judge`. */
  role: string
  /** The provider of the LLM that was asked. */
  provider: string
  /** Its model; undefined where its calls choose one. */
  model: string | undefined
  /** The round of this call, from 1. */
  round: number
  /** How long the call took, in milliseconds. */
  timeMs: number
  /** The tokens of the call. Absent where nothing was sent. */
  usage?: Usage
  /** US dollars for `usage`. Absent where the model's price is not known. */
  costUsd?: number
  /** The reply. Absent where the call failed. */
  response?: GenerateResponse
  /** Why the call failed. Absent where it did not. */
  error?: ConvokeError
}

/** The facts and functions by which a strategy decides. */
export interface StrategyContext {
  /** The prompt of the members; the first member's, where each had its own. */
  prompt: Prompt
  /**
   * Asks an LLM within the time that is left. The verdict counts its usage.
   * @throws ConvokeError `timeout` where no time is left, or the error of the call
   */
  consult(role: string, llm: Member, prompt: Prompt, options?: GenerateOptions): Promise<GenerateResponse>
  /** A copy in random order; the same `shuffleSeed` gives the same order. */
  shuffle<Value>(values: readonly Value[]): Value[]
  /** The options of the members' calls. */
  options: Readonly<GenerateOptions>
  /** The text that is added to the prompt to ask for a choice or a number; undefined for other kinds of answers. */
  instruction: string | undefined
  /** Reads the answer from a reply. @throws ConvokeError `invalid_output` where it gives none */
  read(response: GenerateResponse): unknown
}

/** Decides a consensus. `majority()`, `weighted()` and so on make one; `StrategyFunction` is the short form of your own. */
export interface Strategy {
  /** The name that the verdict gives as its `strategy`. */
  readonly name: string
  /** The quorum where the caller gives none. @default more than half of the members */
  quorum?(members: number): number
  /** The weight of each member's vote, in the members' order. @default 1 each */
  weights?(members: readonly MemberInfo[]): number[]
  /** Makes texts equal that mean the same. @default ignores case, white space, quotes, emphasis and the final dot */
  normalize?: ((text: string) => string) | undefined
  /** Whether it can vote on each field of an object by itself. */
  votesOnFields?: boolean
  /** Called when no further vote comes, with at least one vote. */
  decide(ballot: Ballot, context: StrategyContext): Ruling | Promise<Ruling>
  /**
   * The ruling, as soon as no outstanding vote can change its answer or its status, and undefined before.
   * @default all members are waited for
   */
  settled?(ballot: Ballot): Ruling | undefined
}

/** A strategy of your own: it gets the votes of all members that answer in time, and gives a ruling. */
export type StrategyFunction = (
  ballot: Ballot,
  context: StrategyContext,
) => (Partial<Ruling> & { isAgreed: boolean }) | Promise<Partial<Ruling> & { isAgreed: boolean }>
