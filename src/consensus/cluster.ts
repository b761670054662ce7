/** cluster: counts answers that are near each other as one answer. */
import leven from 'leven'
import { checkOption, describeValue, optionsError } from '../options/check-options.ts'
import { madeBy } from '../threads/recipe.ts'
import { ConvokeError } from '../errors.ts'
import { normalizeText } from './answer.ts'
import { answerForPrompt } from './quoted-answers.ts'
import type { Ballot, Strategy, Vote } from './strategy.ts'
import { groupsAround, rounding, weightOf } from './tally.ts'

/** How near two answers are, from 0 (nothing in common) to 1 (the same). */
export type Similarity = (a: string, b: string) => number | Promise<number>

/** Makes vectors of texts. Two texts are as near as the cosine of the angle between their vectors. */
export interface Embeddings {
  /** @returns one vector for each text, in the order of the texts */
  /** Gives one vector for each text, all of one length. */
  embed(texts: string[]): number[][] | Promise<number[][]>
}

/** Options of `cluster`. */
export interface ClusterOptions {
  /** Two answers count as one when they are at least this near, above 0 and at most 1. @default 0.8; 0.85 with embeddings */
  threshold?: number
}

const context = { code: 'invalid_request', label: 'cluster' } as const

/**
 * Finds the answer with the most other answers near it, and takes it when it and they have more than half of the votes;
 * else the verdict is `split`. It waits for all members, since each further answer may move the centre. Without a
 * similarity it compares letters (edit distance; for texts of more than 1,000 characters, their first 2,000 words).
 * Letters say nothing of the meaning: `is safe` is near to `is not safe`. Use embeddings where the wording is free.
 *
 * @throws ConvokeError `invalid_request` for a similarity that is no function and has no `embed`, or a wrong threshold
 */
export function cluster(
  similarity: Similarity | Embeddings = textSimilarity,
  options: ClusterOptions = {},
): Strategy {
  const isEmbedding = typeof similarity === 'object' && similarity !== null
  const threshold = options.threshold ?? (isEmbedding ? 0.85 : 0.8)
  if (isEmbedding ? typeof similarity.embed !== 'function' : typeof similarity !== 'function') {
    throw optionsError(
      context,
      `The similarity is ${describeValue(similarity)}; it takes a function of two texts, or { embed }, a function that makes vectors of texts.`,
    )
  }
  checkOption('threshold', threshold, { type: 'number', above: 0, to: 1 }, context)
  const given = similarity === textSimilarity ? undefined : similarity
  return madeBy<Strategy>('cluster', [given, options], {
    name: 'cluster',
    async decide(ballot) {
      const nearness = isEmbedding
        ? await byVectors(ballot.votes, similarity)
        : await byPairs(ballot.votes, similarity)
      const isNear = (a: Vote, b: Vote) => (nearness.get(a)?.get(b) ?? 0) >= threshold
      return rulingAround(ballot, isNear)
    },
  })
}

function rulingAround(ballot: Ballot, isNear: (a: Vote, b: Vote) => boolean) {
  const groups = groupsAround(ballot.votes, isNear)
  const [[centre, near] = []] = groups
  const isAgreed = 2 * weightOf(near ?? []) > weightOf(ballot.votes) + rounding
  const reason = isAgreed
    ? 'More than half of the answers are near to this one.'
    : 'No group of answers that are near each other has more than half of the votes.'
  return { answer: centre?.answer, isAgreed, supporters: near ?? [], reason }
}

type Nearness = Map<Vote, Map<Vote, number>>

async function byPairs(votes: readonly Vote[], similarity: Similarity): Promise<Nearness> {
  const nearness: Nearness = new Map(votes.map((vote) => [vote, new Map()]))
  const pairs = votes.flatMap((a, at) => votes.slice(at + 1).map((b) => [a, b] as const))
  await Promise.all(
    pairs.map(async ([a, b]) => {
      const near = await similarity(answerForPrompt(a.answer), answerForPrompt(b.answer))
      nearness.get(a)?.set(b, near)
      nearness.get(b)?.set(a, near)
    }),
  )
  return nearness
}

async function byVectors(votes: readonly Vote[], { embed }: Embeddings): Promise<Nearness> {
  const vectors = await embed(votes.map(({ answer }) => answerForPrompt(answer)))
  if (!Array.isArray(vectors) || vectors.length !== votes.length) {
    throw new ConvokeError(
      'invalid_request',
      `embed gave ${Array.isArray(vectors) ? vectors.length : 'no'} vectors for ${votes.length} texts.`,
    )
  }
  return new Map(
    votes.map((a, at) => [
      a,
      new Map(votes.map((b, next) => [b, cosine(vectors[at] ?? [], vectors[next] ?? [])])),
    ]),
  )
}

function cosine(a: readonly number[], b: readonly number[]): number {
  let [dot, left, right] = [0, 0, 0]
  for (const [at, value] of a.entries()) {
    dot += value * (b[at] ?? 0)
    left += value * value
    right += (b[at] ?? 0) ** 2
  }
  return left && right ? dot / Math.sqrt(left * right) : 0
}

/** Longer texts are compared by words: the time of an edit distance grows with the square of the length. */
const maxLetters = 1_000
const maxWords = 2_000

/** 1, less the share of letters that turn one text into the other; for long texts, of words. */
export async function textSimilarity(a: string, b: string): Promise<number> {
  const texts = [normalizeText(a), normalizeText(b)] as [string, string]
  const [left, right] = texts.some((text) => text.length > maxLetters) ? asWords(texts) : texts
  const longest = Math.max(left.length, right.length)
  return longest === 0 ? 1 : 1 - leven(left, right) / longest
}

/** Writes each different word as one character, so that an edit distance counts words. */
function asWords(texts: [string, string]): [string, string] {
  const known = new Map<string, string>()
  const encode = (text: string) =>
    text
      .split(/[^\p{L}\p{N}]+/u, maxWords)
      .map((word) => {
        if (!known.has(word)) known.set(word, String.fromCharCode(known.size + 1))
        return known.get(word)
      })
      .join('')
  return [encode(texts[0]), encode(texts[1])]
}
