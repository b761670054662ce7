/** The text that a member gets in a further round: its own answer, and the different answers of the others. */
import { quoted, quotedAnswers, answerForPrompt } from './quoted-answers.ts'
import type { Ballot, StrategyContext, Vote } from './strategy.ts'

/**
 * Shows each different answer once, in random order, without names or counts, so that a member weighs the answers
 * instead of following the majority.
 */
export function debatePrompt(
  own: Vote,
  votes: readonly Vote[],
  { isSame, shuffle }: Pick<Ballot, 'isSame'> & Pick<StrategyContext, 'shuffle'>,
): string {
  const others: Vote[] = []
  for (const vote of votes) {
    const isKnown = [own, ...others].some(({ answer }) => isSame(answer, vote.answer))
    if (!isKnown) others.push(vote)
  }
  const yours = `You have been asked this before, and answered:\n<yours>\n${quoted(answerForPrompt(own.answer))}\n</yours>`
  if (others.length === 0) return `${yours}\n\nOthers gave the same answer. Check it, and answer again.`
  return [
    yours,
    '',
    'Others answered differently:',
    '',
    quotedAnswers(shuffle(others).map(({ answer }) => answerForPrompt(answer))),
    '',
    'Consider where they may be right and where you are, then answer again. Change your answer only for a good reason.',
  ].join('\n')
}
