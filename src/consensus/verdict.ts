/** The verdict, and how a ruling becomes one without claiming more than it is. */
import { emptyResponse } from '../response/empty-response.ts'
import type { ConvokeError } from '../errors.ts'
import type { MemberInfo, MemberResult } from '../fan-out/members.ts'
import type { GenerateResponse, OtherAttempt, Usage } from '../types.ts'
import { sumKnown, sumUsage } from '../usage/sum-usage.ts'
import type { Ballot, Consultation, FieldRuling, Ruling, Vote } from './strategy.ts'
import { weightOf } from './tally.ts'

/**
 * `agreed`: the strategy's condition holds, with the quorum. `split`: enough members answered, and it does not.
 * `degraded`: fewer votes than the quorum, or no ruling of the judge; the answer is what is known. `failed`: nobody gave
 * an answer.
 */
export type VerdictStatus = 'agreed' | 'split' | 'degraded' | 'failed'

/** A call that gave no answer, or one that could not be counted (`invalid_output`, with the reply as `error.partial`). */
export interface MemberFailure {
  member: string
  index: number
  provider: string
  model: string | undefined
  round: number
  error: ConvokeError
}

/** What a member took, over all rounds. Of a call that was cancelled, the usage is an estimate. */
export interface MemberCost {
  member: string
  index: number
  usage: Usage
  costUsd?: number
  /** Time of its calls together, in milliseconds. */
  timeMs: number
  outcome: 'answered' | 'failed' | 'stopped'
}

export interface Verdict<Answer = unknown> {
  status: VerdictStatus
  /** In the words of a member (of several, the first in order), but of `synthesize`. Absent where none can be given. */
  answer: Answer | undefined
  /**
   * 0 to 1: the share of the votes that are for the answer. Members that were stopped count as if they were against it:
   * it is at least so much.
   */
  agreement: number
  /** Why it is so, in words. */
  reason: string
  /** The last vote of each member, in the members' order. */
  votes: Vote<Answer>[]
  /** Votes for something else. */
  dissent: Vote<Answer>[]
  /** Of all rounds. */
  failures: MemberFailure[]
  /** Where fields were voted on one by one. */
  fields?: Record<string, FieldRuling>
  /** Votes that it needed. */
  quorum: number
  strategy: string
  /** Rounds that were asked. */
  rounds: number
  /** All members and consultations together; `source` is `estimated` where a part of it is. */
  usage: Usage
  /** US dollars of those whose prices are known; absent where none is. */
  costUsd?: number
  members: MemberCost[]
  /** Calls of a judge or a synthesizer. */
  consultations: Consultation[]
  /** The members that were not waited for, as no answer of theirs could change the result. */
  stopped: string[]
  /** With `stopped` and a deadline: the time until it, the most that they might have taken yet. In milliseconds. */
  savedAtMostMs?: number
  timeMs: number
}

/** What a verdict is made of. */
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

/** The votes for the answer, and which share of all that there may be they have. */
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

/** What one that was ended cost: no reply, and all that were asked as `lost`. */
export function spentBy(
  { results, consultations, timeMs }: Findings,
  finishReason: 'cancelled' | 'error',
): GenerateResponse {
  const inOrder = results.toSorted((a, b) => a.round - b.round || a.result.index - b.result.index)
  const lost = [...inOrder.map(({ result }) => result), ...consultations].flatMap(otherAttemptsBy)
  const attempts = lost.reduce((sum, one) => sum + one.attempts, 0)
  const response = emptyResponse({
    provider: 'consensus',
    model: '',
    finishReason,
    usage: sumUsage(lost.map(({ usage }) => usage)),
    costUsd: sumKnown(lost.map((one) => one.costUsd)),
    timing: { firstChunkMs: timeMs, totalMs: timeMs, attempts },
  })
  return lost.length ? { ...response, otherAttempts: lost } : response
}

/** Nothing of one that sent no request. */
function otherAttemptsBy({
  provider,
  model = '',
  usage,
  costUsd,
  response,
  error,
}: Spending): OtherAttempt[] {
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
