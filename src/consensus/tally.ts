/** Counts votes: groups of one answer each, the strongest first, and whether the leading group can be overtaken. */
import type { Ballot, Vote } from './strategy.ts'

/** The votes for one answer. */
export interface Group {
  /** The answer in the words of the group's first member in the members' order. */
  value: unknown
  votes: Vote[]
  weight: number
}

/** Sums of weights have rounding errors; a smaller difference than this counts as none. */
export const rounding = 1e-9

export function weightOf(votes: readonly { weight: number }[]): number {
  return votes.reduce((sum, { weight }) => sum + weight, 0)
}

/** The groups, the strongest first. Between equal weights, the group with the first member in the members' order leads. */
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
 * Groups votes where sameness is not transitive: `a` may be the same as `b`, and `b` as `c`, although `a` and `c` differ.
 * The vote with the most weight around it forms a group with all votes that are the same (between equals, the first one
 * does), and so on with the rest. The order of arrival has no influence.
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
    const group = best as [Vote, Vote[]]
    groups.push(group)
    rest = rest.filter((vote) => !group[1].includes(vote))
  }
  return groups
}

/** The facts of a count that stay true whatever the outstanding members answer, and if they do not answer. */
export interface Certainty {
  /** The leading answer keeps its lead. */
  leader: boolean
  /** The leading answer has more than half, and keeps it. */
  majority: boolean
  /** No answer can reach more than half. */
  noMajority: boolean
}

export function certainty(groups: readonly Group[], outstanding: Ballot['outstanding']): Certainty {
  const [lead, ...others] = groups
  if (!lead) return { leader: false, majority: false, noMajority: false }
  const cast = weightOf(groups)
  const open = weightOf(outstanding)
  const firstOpen = Math.min(Infinity, ...outstanding.map(({ index }) => index))
  // Any outstanding member may bring an answer that no other gave.
  const challengers = [...others.map((group) => ({ weight: group.weight, first: firstOf(group) })), newcomer]
  const leader =
    open === 0 ||
    challengers.every(({ weight, first }) => {
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
