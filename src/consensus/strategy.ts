/** What a strategy is: how votes become a ruling, and when no further vote can change it. */
import type { ConvokeError } from '../errors.ts'
import type { Member, MemberInfo } from '../fan-out/members.ts'
import type { GenerateResponse, Prompt, Usage } from '../types.ts'
import type { GenerateOptions } from '../options/generate-options.ts'

/** One member's answer that was counted. */
export interface Vote<Answer = unknown> {
  /** Key of the member. */
  member: string
  index: number
  provider: string
  model: string | undefined
  answer: Answer
  /** @default 1, but of `weighted` */
  weight: number
  /** The round that it was cast in, from 1. */
  round: number
  response: GenerateResponse
}

/** The votes that there are, and those that may still come. */
export interface Ballot<Answer = unknown> {
  /** In the members' order. */
  votes: readonly Vote<Answer>[]
  /** Members that have not answered yet, or were not waited for. */
  outstanding: readonly (MemberInfo & { weight: number })[]
  /** Votes that an unreserved result needs. */
  quorum: number
  /** What is voted on: the whole answer, or each field of it. */
  questions: readonly Question[]
  /** Whether two answers are one and the same. */
  isSame: (a: unknown, b: unknown) => boolean
  /** Same for equal ones; undefined where being the same is not transitive (a tolerance). */
  keyOf: ((answer: unknown) => string) | undefined
}

export interface Question {
  /** Of a field. */
  field?: string
  valueOf(answer: unknown): unknown
}

/** What a strategy finds. */
export interface Ruling {
  answer?: unknown
  /** Whether what the strategy asks for was reached; if not, the verdict is `split`. */
  isAgreed: boolean
  /** It was made without what the strategy needs (its judge): the verdict is `degraded`. */
  isDegraded?: boolean
  /** It would be the same if more members had answered: no quorum is needed (a dissent, where all must agree). */
  needsNoQuorum?: boolean
  /** 0 to 1. @default the weight of `supporters` in that of all who answered or might have */
  agreement?: number
  /** Votes for the answer. @default those that are the same as it */
  supporters?: readonly Vote[]
  /** In words. */
  reason: string
  /** Where each field was voted on by itself. */
  fields?: Record<string, FieldRuling>
}

/** How the vote on one field ended. */
export interface FieldRuling {
  answer: unknown
  agreement: number
  isAgreed: boolean
}

/** A call beside the votes: of a judge or a synthesizer. */
export interface Consultation {
  role: string
  provider: string
  model: string | undefined
  round: number
  timeMs: number
  usage?: Usage
  costUsd?: number
  response?: GenerateResponse
  error?: ConvokeError
}

/** What a strategy may use. */
export interface StrategyContext {
  /** What the members were asked; the first one's, where each had its own. */
  prompt: Prompt
  /** Asks an LLM within the time that is left; its usage is counted in the verdict. */
  consult(role: string, llm: Member, prompt: Prompt, options?: GenerateOptions): Promise<GenerateResponse>
  /** A copy in an order that `shuffleSeed` decides. */
  shuffle<Value>(values: readonly Value[]): Value[]
  /** Options of the members' calls. */
  options: Readonly<GenerateOptions>
  /** What is added to the prompt so that a reply is an answer of the kind that is asked for; nothing for plain texts. */
  instruction: string | undefined
  /** The answer in a reply. @throws ConvokeError `invalid_output` where it gives none */
  read(response: GenerateResponse): unknown
}

/** How a consensus is found. Make one by `majority()`, `weighted()` and so on, or write a function. */
export interface Strategy {
  readonly name: string
  /** Votes that it needs where the caller says nothing. @default more than half of the members */
  quorum?(members: number): number
  /** @default each 1 */
  weights?(members: readonly MemberInfo[]): number[]
  /** Makes texts that mean the same equal. */
  normalize?: ((text: string) => string) | undefined
  /** Whether it can vote on each field of an object by itself. */
  votesOnFields?: boolean
  /** Called when nothing more comes, with one vote at least. */
  decide(ballot: Ballot, context: StrategyContext): Ruling | Promise<Ruling>
  /** The ruling, once no outstanding vote can change its answer or its status. @default everybody is heard */
  settled?(ballot: Ballot): Ruling | undefined
}

/** A strategy of your own: the votes in, a ruling out. It hears everybody that answers in time. */
export type StrategyFunction = (
  ballot: Ballot,
  context: StrategyContext,
) => (Partial<Ruling> & { isAgreed: boolean }) | Promise<Partial<Ruling> & { isAgreed: boolean }>
