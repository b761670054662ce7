/** Strategies that count votes: majority, weighted, unanimous. */
import { madeBy } from '../threads/recipe.ts'
import { describeValue, optionsError } from '../options/check-options.ts'
import { positiveNumber } from '../options/option-rules.ts'
import { perMember } from '../fan-out/per-member.ts'
import type { PerMember } from '../fan-out/per-member.ts'
import type { Ballot, FieldRuling, Ruling, Strategy } from './strategy.ts'
import { certainty, rounding, tally, weightOf } from './tally.ts'
import type { Group } from './tally.ts'

/** Options of strategies that count votes. */
export interface CountOptions {
  /** Makes texts equal that mean the same. @default ignores case, white space, quotes, emphasis and the final dot */
  normalize?: (text: string) => string
}

/**
 * Takes the answer that more than half of the answering members gave. Without such an answer the verdict is `split` and
 * has the answer with the most votes; between equal counts, the answer of the member that comes first in the given order.
 */
export function majority(options: CountOptions = {}): Strategy {
  return madeBy('majority', [options], { ...counting(options), name: 'majority' })
}

/**
 * Like `majority`, with a weight for each member's vote: a list in the members' order, or an object by key. A member
 * without a weight weighs 1. The quorum counts members, not weights.
 *
 * @throws ConvokeError `invalid_request` where weights is neither
 */
export function weighted({ weights, ...options }: CountOptions & { weights: PerMember<number> }): Strategy {
  if (typeof weights !== 'object' || weights === null) {
    throw optionsError(
      { code: 'invalid_request', label: 'weighted' },
      `The option weights is ${describeValue(weights)}; it takes a list such as [2, 1, 1], or an object such as { key: 2 }.`,
    )
  }
  const option = { name: 'weights', rule: positiveNumber, label: 'weighted' }
  return madeBy<Strategy>('weighted', [{ weights, ...options }], {
    ...counting(options),
    name: 'weighted',
    weights: (members) => perMember(weights, members, option).map((weight) => weight ?? 1),
  })
}

/**
 * Agrees when all members answer, and all give the same answer. The first different answer ends it: the verdict is
 * `split`, without an answer. With a tolerance, numbers agree when each is near enough to every other. Its quorum is all
 * members, unless the option `quorum` says otherwise.
 */
export function unanimous({ normalize }: CountOptions = {}): Strategy {
  const decide = (ballot: Ballot): Ruling => {
    const { votes, questions, isSame } = ballot
    const values = questions.map(({ valueOf }) => votes.map(({ answer }) => valueOf(answer)))
    const isOne = values.map((all) =>
      all.every((a, at) => all.every((b, next) => next <= at || isSame(a, b))),
    )
    if (isOne.every(Boolean)) {
      return {
        ...rulingOf(ballot),
        isAgreed: true,
        reason: 'All members that answered gave the same answer.',
      }
    }
    const { agreement = 0 } = rulingOf(ballot)
    const reason = 'Not all members gave the same answer.'
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

/** The ruling of a plain count: the leading answer, agreed when it has more than half of the votes that were cast. */
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
    // The field with the least agreement counts, as the answer needs all of them.
    agreement: Math.min(...counts.map(({ ruling }) => ruling.agreement)),
    supporters: votes.filter((vote) => counts.every(({ lead }) => lead.votes.includes(vote))),
    reason,
    fields,
  }
}

function hasMajority({ weight }: Group, cast: number): boolean {
  return 2 * weight > cast + rounding
}

/** Whether outstanding votes can change neither the answer nor the status. */
function isCertain(ballot: Ballot): boolean {
  const { votes, outstanding, quorum, questions } = ballot
  const isBelowQuorum = votes.length < quorum
  if (isBelowQuorum && votes.length + outstanding.length >= quorum) return false
  const counts = questions.map(({ valueOf }) => certainty(tally(votes, valueOf, ballot), outstanding))
  if (!counts.every(({ leader }) => leader)) return false
  if (isBelowQuorum) return true
  return counts.every(({ majority }) => majority) || counts.some(({ noMajority }) => noMajority)
}
