/** Strategies that count votes: majority, weighted, unanimous. */
import { madeBy } from '../threads/recipe.ts'
import { ConvokeError } from '../errors.ts'
import { perMember } from '../fan-out/per-member.ts'
import type { PerMember } from '../fan-out/per-member.ts'
import type { Ballot, FieldRuling, Ruling, Strategy } from './strategy.ts'
import { certainty, rounding, tally, weightOf } from './tally.ts'
import type { Group } from './tally.ts'

export interface CountOptions {
  /** Makes texts that mean the same equal. @default case, white space, quotes, emphasis and the final dot do not count */
  normalize?: (text: string) => string
}

/**
 * The answer that more than half of those who answered gave. Without one the verdict is `split`, and its answer the one
 * with the most votes; of equals, the one of the member that stands first in the order that the LLMs were given in.
 */
export function majority(options: CountOptions = {}): Strategy {
  return madeBy('majority', [options], { ...counting(options), name: 'majority' })
}

/**
 * As `majority`, where each vote weighs what its member weighs: a list in the members' order, or an object by key; who is
 * not named weighs 1. The quorum counts heads.
 */
export function weighted({ weights, ...options }: CountOptions & { weights: PerMember<number> }): Strategy {
  if (typeof weights !== 'object' || weights === null) {
    throw new ConvokeError(
      'invalid_request',
      `weighted takes { weights: [2, 1, 1] } or { weights: { key: 2 } }, not ${String(weights)}.`,
    )
  }
  const rule = {
    name: 'weights',
    isRight: (value: unknown) => typeof value === 'number' && value > 0 && Number.isFinite(value),
    wanted: 'numbers above 0',
  }
  return madeBy<Strategy>('weighted', [{ weights, ...options }], {
    ...counting(options),
    name: 'weighted',
    weights: (members) => perMember(weights, members, rule).map((weight) => weight ?? 1),
  })
}

/**
 * Agreed when all members answer, and all the same. At the first dissent it stops: the verdict is `split`, without an
 * answer. Numbers with a tolerance agree when each is within it of every other. @default quorum: everybody
 */
export function unanimous({ normalize }: CountOptions = {}): Strategy {
  const decide = (ballot: Ballot): Ruling => {
    const { votes, questions, isSame } = ballot
    const values = questions.map(({ valueOf }) => votes.map(({ answer }) => valueOf(answer)))
    const isOne = values.map((all) =>
      all.every((a, at) => all.every((b, next) => next <= at || isSame(a, b))),
    )
    if (isOne.every(Boolean)) {
      return { ...rulingOf(ballot), isAgreed: true, reason: 'All who answered gave the same answer.' }
    }
    const { agreement = 0 } = rulingOf(ballot)
    const reason = 'Not all gave the same answer.'
    return { isAgreed: false, needsNoQuorum: true, agreement, supporters: [], reason }
  }
  return madeBy<Strategy>('unanimous', [{ normalize }], {
    name: 'unanimous',
    normalize,
    votesOnFields: true,
    quorum: (members) => members,
    decide,
    settled(ballot) {
      const ruling = decide(ballot)
      return ruling.isAgreed && ballot.outstanding.length > 0 ? undefined : ruling
    },
  })
}

function counting({ normalize }: CountOptions): Omit<Strategy, 'name'> {
  return {
    normalize,
    votesOnFields: true,
    decide: rulingOf,
    settled: (ballot) => (ballot.keyOf && isCertain(ballot) ? rulingOf(ballot) : undefined),
  }
}

/** How a count of the votes ends: the leading answer, agreed when it has more than half of the votes cast. */
export function rulingOf(ballot: Ballot): Ruling {
  const { votes, questions, outstanding } = ballot
  const possible = weightOf(votes) + weightOf(outstanding)
  const counts = questions.map(({ field, valueOf }) => {
    const groups = tally(votes, valueOf, ballot)
    const lead = groups[0] as Group
    const ruling: FieldRuling = {
      answer: lead.value,
      agreement: Math.min(1, lead.weight / possible),
      isAgreed: hasMajority(lead, weightOf(votes)),
    }
    return { field, lead, ruling }
  })
  const [whole] = counts
  const isAgreed = counts.every(({ ruling }) => ruling.isAgreed)
  const reason = isAgreed
    ? 'More than half of the votes are for one answer.'
    : 'No answer has more than half of the votes.'
  if (whole && whole.field === undefined) {
    const { answer, agreement } = whole.ruling
    return { answer, isAgreed, agreement, supporters: whole.lead.votes, reason }
  }
  const fields = Object.fromEntries(counts.map(({ field, ruling }) => [field as string, ruling]))
  return {
    answer: Object.fromEntries(
      Object.entries(fields).flatMap(([name, { answer }]) => (answer === undefined ? [] : [[name, answer]])),
    ),
    isAgreed,
    // A chain of fields is as strong as its weakest.
    agreement: Math.min(...counts.map(({ ruling }) => ruling.agreement)),
    supporters: votes.filter((vote) => counts.every(({ lead }) => lead.votes.includes(vote))),
    reason,
    fields,
  }
}

function hasMajority({ weight }: Group, cast: number): boolean {
  return 2 * weight > cast + rounding
}

/** Whether neither the answer nor the status can change any more. */
function isCertain(ballot: Ballot): boolean {
  const { votes, outstanding, quorum, questions } = ballot
  const isBelowQuorum = votes.length < quorum
  if (isBelowQuorum && votes.length + outstanding.length >= quorum) return false
  const counts = questions.map(({ valueOf }) => certainty(tally(votes, valueOf, ballot), outstanding))
  if (!counts.every(({ leader }) => leader)) return false
  if (isBelowQuorum) return true
  return counts.every(({ majority }) => majority) || counts.some(({ noMajority }) => noMajority)
}
