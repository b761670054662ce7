/** The verdict: the result of a consensus, made from the strategy's ruling, the votes and the calls. */
import { emptyResponse } from '../response/response-builder.ts'
import type { ConvokeError } from '../errors.ts'
import type { MemberInfo, MemberResult } from '../fan-out/members.ts'
import type { GenerateResponse, OtherAttempt, Usage } from '../types.ts'
import { sumKnown, sumUsage } from '../usage/sum-usage.ts'
import type { Ballot, Consultation, FieldRuling, Ruling, Vote } from './strategy.ts'
import { weightOf } from './tally.ts'

/**
 * `agreed`: the strategy's condition holds, and enough members answered. `split`: enough members answered, and the
 * condition does not hold. `degraded`: fewer votes than the quorum, or the strategy lacked its judge; the answer is the
 * best that is known. `failed`: no member gave an answer.
 */
export type VerdictStatus = 'agreed' | 'split' | 'degraded' | 'failed'

/** A call that failed, or whose reply gave no answer (`invalid_output`, with the reply as `error.partial`). */
export interface MemberFailure {
  /** The member's key. */
  member: string
  /** The member's position in the given order, from 0. */
  index: number
  /** The member's provider. */
  provider: string
  /** The member's model; undefined where its calls choose one. */
  model: string | undefined
  /** The round of the call, from 1. */
  round: number
  /** Why the call failed. */
  error: ConvokeError
}

/** The cost of a member over all rounds. The usage of a cancelled call is an estimate. */
export interface MemberCost {
  /** The member's key. */
  member: string
  /** The member's position in the given order, from 0. */
  index: number
  /** The tokens of its calls together. */
  usage: Usage
  /** US dollars for `usage`. Absent where no price is known. */
  costUsd?: number
  /** The time of its calls together, in milliseconds. */
  timeMs: number
  /** `stopped`: the last call was cancelled, since its answer could not change the result. */
  outcome: 'answered' | 'failed' | 'stopped'
}

/** The result of a consensus: the answer, how far the members agree on it, and what it cost. */
export interface Verdict<Answer = unknown> {
  /** How much the answer is worth; see `VerdictStatus`. */
  status: VerdictStatus
  /**
   * The answer in the words of a member: of the first in order, where several gave it. `synthesize` writes its own. Absent
   * where there is none.
   */
  answer: Answer | undefined
  /**
   * The share of the votes that are for the answer, from 0 to 1. It is a lower bound: members that were stopped count as
   * votes against the answer.
   */
  agreement: number
  /** Why the verdict is so, in words. */
  reason: string
  /** The last vote of each member, in the members' order. */
  votes: Vote<Answer>[]
  /** The votes for other answers. */
  dissent: Vote<Answer>[]
  /** The failures of all rounds. */
  failures: MemberFailure[]
  /** The result of each field, where fields were voted on one by one. */
  fields?: Record<string, FieldRuling>
  /** The number of votes that were needed. */
  quorum: number
  /** The strategy's name. */
  strategy: string
  /** The number of rounds that took place. */
  rounds: number
  /** The tokens of all members and consultations; `source` is `estimated` where part of the sum is. */
  usage: Usage
  /** US dollars for the calls whose prices are known; absent where none is. */
  costUsd?: number
  /** The cost and the outcome of each member, in their order. */
  members: MemberCost[]
  /** The calls of a judge or a synthesizer. */
  consultations: Consultation[]
  /** The keys of members that were cancelled, as no answer of theirs could change the result. */
  stopped: string[]
  /**
   * The time from the stop until the last deadline of the stopped members, in milliseconds: they might have taken so long.
   * Absent without a deadline.
   */
  savedAtMostMs?: number
  /** The time of the whole consensus, in milliseconds. */
  timeMs: number
}

/** The material of a verdict. */
export interface Findings {
  slots: readonly MemberInfo[]
  ballot: Ballot
  /** Absent where there are no votes. */
  ruling: Ruling | undefined
  failures: MemberFailure[]
  results: readonly { round: number; result: MemberResult; isStopped: boolean }[]
  consultations: Consultation[]
  strategy: string
  rounds: number
  stopped: string[]
  savedAtMostMs: number | undefined
  timeMs: number
}

type Spending = Pick<
  MemberResult | Consultation,
  'provider' | 'model' | 'usage' | 'costUsd' | 'response' | 'error'
>

export function statusOf(ballot: Ballot, ruling: Ruling | undefined): VerdictStatus {
  if (!ruling || ballot.votes.length === 0) return 'failed'
  if (ruling.isDegraded) return 'degraded'
  if (ballot.votes.length < ballot.quorum && !ruling.needsNoQuorum) return 'degraded'
  return ruling.isAgreed ? 'agreed' : 'split'
}

/** The votes for the answer, and their share of all votes, including those that may still come. */
export function support(ballot: Ballot, ruling: Ruling): { supporters: readonly Vote[]; agreement: number } {
  const { votes, outstanding, isSame } = ballot
  const { answer } = ruling
  const supporters =
    ruling.supporters ?? (answer === undefined ? [] : votes.filter((vote) => isSame(vote.answer, answer)))
  const share = weightOf(supporters) / (weightOf(votes) + weightOf(outstanding))
  return { supporters, agreement: Math.min(1, Math.max(0, ruling.agreement ?? share)) }
}

export function verdictOf(findings: Findings): Verdict {
  const { ballot, ruling, slots, results, consultations, savedAtMostMs, ...rest } = findings
  const { failures, strategy, rounds, stopped, timeMs } = rest
  const status = statusOf(ballot, ruling)
  const { supporters, agreement } = ruling ? support(ballot, ruling) : { supporters: [], agreement: 0 }
  const members = slots.map((slot) => costOf(slot, results, ballot))
  const spent = [...members, ...consultations]
  const costUsd = sumKnown(spent.map((one) => one.costUsd))
  return {
    status,
    answer: ruling?.answer,
    agreement,
    reason: reasonOf(ballot, ruling, status),
    votes: [...ballot.votes],
    dissent: ballot.votes.filter((vote) => !supporters.includes(vote)),
    failures,
    ...(ruling?.fields ? { fields: ruling.fields } : {}),
    quorum: ballot.quorum,
    strategy,
    rounds,
    usage: sumUsage(spent.map(({ usage }) => usage)),
    ...(costUsd === undefined ? {} : { costUsd }),
    members,
    consultations,
    stopped,
    ...(savedAtMostMs === undefined ? {} : { savedAtMostMs }),
    timeMs,
  }
}

/** The cost of a consensus that was cancelled, as an empty reply with all its calls in `otherAttempts`. */
export function spentBy(
  { results, consultations, timeMs }: Findings,
  finishReason: 'cancelled' | 'error',
): GenerateResponse {
  const inOrder = results.toSorted((a, b) => a.round - b.round || a.result.index - b.result.index)
  const otherAttempts = [...inOrder.map(({ result }) => result), ...consultations].flatMap(attemptOf)
  const attempts = otherAttempts.reduce((sum, one) => sum + one.attempts, 0)
  const response = emptyResponse({
    provider: 'consensus',
    model: '',
    finishReason,
    usage: sumUsage(otherAttempts.map(({ usage }) => usage)),
    costUsd: sumKnown(otherAttempts.map((one) => one.costUsd)),
    timing: { firstChunkMs: timeMs, totalMs: timeMs, attempts },
  })
  return otherAttempts.length ? { ...response, otherAttempts } : response
}

/** A call as another attempt; none where it sent no request. */
function attemptOf({ provider, model = '', usage, costUsd, response, error }: Spending): OtherAttempt[] {
  const attempts = response?.timing.attempts ?? error?.attempts ?? 0
  if (!usage || attempts === 0) return []
  const code = error?.code ?? 'cancelled'
  return [{ provider, model, code, usage, ...(costUsd === undefined ? {} : { costUsd }), attempts }]
}

function reasonOf({ votes, quorum }: Ballot, ruling: Ruling | undefined, status: VerdictStatus): string {
  if (!ruling || status === 'failed') return 'No member gave an answer.'
  if (votes.length >= quorum || ruling.needsNoQuorum) return ruling.reason
  const count = votes.length === 1 ? '1 member' : `${votes.length} members`
  return `Only ${count} answered, and ${quorum} are needed. ${ruling.reason}`
}

function costOf({ key, index }: MemberInfo, results: Findings['results'], ballot: Ballot): MemberCost {
  const own = results.filter(({ result }) => result.index === index)
  const costUsd = sumKnown(own.map(({ result }) => result.costUsd))
  const outcome = own.at(-1)?.isStopped
    ? 'stopped'
    : ballot.votes.some((vote) => vote.index === index)
      ? 'answered'
      : 'failed'
  return {
    member: key,
    index,
    usage: sumUsage(own.map(({ result }) => result.usage)),
    ...(costUsd === undefined ? {} : { costUsd }),
    timeMs: own.reduce((sum, { result }) => sum + result.timeMs, 0),
    outcome,
  }
}
