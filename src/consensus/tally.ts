/** Counting: votes in groups of one answer each, the strongest first, and whether what leads can be overtaken. */
import type { Ballot, Vote } from './strategy.ts'

/** Votes for one answer. */
export interface Group {
  /** In the words of the first of its members in their order. */
  value: unknown
  votes: Vote[]
  weight: number
}

/** Sums of weights are rounded in their last digits: this little decides nothing. */
export const rounding = 1e-9

export function weightOf(votes: readonly { weight: number }[]): number {
  return votes.reduce((sum, { weight }) => sum + weight, 0)
}

/** Of two groups of one weight the one with the member that stands first in the members' order leads. */
export function tally(
  votes: readonly Vote[],
  valueOf: (answer: unknown) => unknown,
  { isSame, keyOf }: Pick<Ballot, 'isSame' | 'keyOf'>,
): Group[] {
  const groups = keyOf
    ? [...Map.groupBy(votes, ({ answer }) => keyOf(valueOf(answer))).values()].map((same) =>
        groupOf(same, valueOf),
      )
    : groupsAround(votes, (a, b) => isSame(valueOf(a.answer), valueOf(b.answer))).map(([centre, near]) => ({
        ...groupOf(near, valueOf),
        value: valueOf(centre.answer),
      }))
  return groups.sort((a, b) =>
    Math.abs(a.weight - b.weight) > rounding ? b.weight - a.weight : firstOf(a) - firstOf(b),
  )
}

function groupOf(votes: Vote[], valueOf: (answer: unknown) => unknown): Group {
  return { value: valueOf(votes[0]?.answer), votes, weight: weightOf(votes) }
}

function firstOf({ votes }: Group): number {
  return votes[0]?.index ?? 0
}

/**
 * Where being the same is not transitive: the vote with the most weight around it makes a group with all that are the
 * same as it (of equals, the one that stands first), then so on with the rest. The order of arrival plays no part.
 */
export function groupsAround(
  votes: readonly Vote[],
  isSame: (a: Vote, b: Vote) => boolean,
): [centre: Vote, near: Vote[]][] {
  const groups: [Vote, Vote[]][] = []
  let rest = [...votes]
  while (rest.length > 0) {
    let best: [Vote, Vote[]] | undefined
    for (const centre of rest) {
      const near = rest.filter((vote) => vote === centre || isSame(centre, vote))
      if (!best || weightOf(near) > weightOf(best[1]) + rounding) best = [centre, near]
    }
    const [, taken] = best as [Vote, Vote[]]
    groups.push(best as [Vote, Vote[]])
    rest = rest.filter((vote) => !taken.includes(vote))
  }
  return groups
}

/** What is certain of a count, whatever the outstanding members answer, or whether they answer at all. */
export interface Certainty {
  /** The leading answer stays the leading one. */
  leader: boolean
  /** It has, and keeps, more than half. */
  majority: boolean
  /** No answer can get more than half. */
  noMajority: boolean
}

export function certainty(groups: readonly Group[], outstanding: Ballot['outstanding']): Certainty {
  const [lead, ...others] = groups
  if (!lead) return { leader: false, majority: false, noMajority: false }
  const cast = weightOf(groups)
  const open = weightOf(outstanding)
  const firstOpen = Math.min(Infinity, ...outstanding.map(({ index }) => index))
  // An answer that nobody has given yet may come from any of them.
  const rivals = [...others.map((group) => ({ weight: group.weight, first: firstOf(group) })), newcomer]
  const leader =
    open === 0 ||
    rivals.every(({ weight, first }) => {
      const ahead = lead.weight - (weight + open)
      if (Math.abs(ahead) > rounding) return ahead > 0
      return firstOf(lead) < Math.min(first, firstOpen)
    })
  return {
    leader,
    majority: 2 * lead.weight > cast + open + 2 * rounding,
    noMajority: [lead, newcomer].every(({ weight }) => 2 * weight + open <= cast),
  }
}

const newcomer = { weight: 0, first: Infinity }
