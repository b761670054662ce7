/** Strategies that ask one more LLM: it picks the best answer, or writes one out of all. */
import { madeBy } from '../threads/recipe.ts'
import { ConvokeError, isConvokeError } from '../errors.ts'
import type { Member } from '../fan-out/members.ts'
import type { GenerateResponse } from '../types.ts'
import { withText } from './answer.ts'
import { rulingOf } from './count.ts'
import { quotedAnswers, answerForPrompt } from './quoted-answers.ts'
import type { Ballot, Ruling, Strategy } from './strategy.ts'
import { tally } from './tally.ts'
import type { Group } from './tally.ts'

export interface JudgeOptions {
  /** What the judge should look for, in your words. */
  criteria?: string
  /** Makes texts that mean the same equal, so that each answer is shown once. @default as of `majority` */
  normalize?: (text: string) => string
}

/**
 * Another LLM picks the best answer, or none (`split`, without an answer). It sees each different answer once, in random
 * order, without names or numbers of votes. Where all gave the same answer, it is not asked. Without it (it failed, or
 * gave no ruling, or no time is left) the verdict is `degraded` and has what a majority would say.
 */
export function judge(llm: Member, options: JudgeOptions = {}): Strategy {
  const { criteria, normalize } = options
  checkMember(llm, 'judge')
  return madeBy<Strategy>('judge', [llm, options], {
    name: 'judge',
    normalize,
    decide: (ballot, context) =>
      advised(ballot, 'judge', async (groups) => {
        const shown = context.shuffle(groups)
        const prompt = withText(context.prompt, judgePrompt(shown, criteria))
        const reply = await context.consult('judge', llm, prompt)
        const number = numberOf(reply, shown.length)
        const chosen = shown[number - 1]
        if (!chosen)
          return { isAgreed: false, supporters: [], reason: 'The judge found none of the answers right.' }
        const reason = 'The judge chose this answer.'
        return { answer: chosen.value, isAgreed: true, supporters: chosen.votes, reason }
      }),
  })
}

/**
 * Another LLM writes one answer out of all, which nobody may have given; it has to be of the kind that was asked for. The
 * agreement says how many members gave the most frequent answer. Where all gave the same, it is not asked; without it,
 * as `judge`.
 */
export function synthesize(llm: Member, options: JudgeOptions = {}): Strategy {
  const { criteria, normalize } = options
  checkMember(llm, 'synthesize')
  return madeBy<Strategy>('synthesize', [llm, options], {
    name: 'synthesize',
    normalize,
    decide: (ballot, context) =>
      advised(ballot, 'synthesizer', async (groups, counted) => {
        const asked = withText(context.prompt, synthesisPrompt(context.shuffle(groups), criteria))
        const { schema } = context.options
        const prompt = withText(asked, context.instruction)
        const reply = await context.consult('synthesizer', llm, prompt, schema ? { schema } : {})
        const answer = context.read(reply)
        const { agreement = 0 } = counted
        const reason = 'One answer was written out of all.'
        return { answer, isAgreed: true, agreement, supporters: ballot.votes, reason }
      }),
  })
}

/** What a further LLM says, or, without it, the count. */
async function advised(
  ballot: Ballot,
  role: string,
  ask: (groups: readonly Group[], counted: Ruling) => Promise<Ruling>,
): Promise<Ruling> {
  const counted = rulingOf(ballot)
  const groups = tally(ballot.votes, (answer) => answer, ballot)
  if (groups.length === 1) return { ...counted, reason: `All gave the same answer; no ${role} was needed.` }
  try {
    return await ask(groups, counted)
  } catch (error) {
    if (!isConvokeError(error)) throw error
    const reason = `There is no ruling of the ${role} (${error.code}); this is the answer with the most votes.`
    return { ...counted, isAgreed: false, isDegraded: true, reason }
  }
}

function judgePrompt(groups: readonly Group[], criteria: string | undefined): string {
  return [
    'Others were asked the above. Do not answer it yourself: judge their answers.',
    '',
    quotedAnswers(groups.map(({ value }) => answerForPrompt(value))),
    '',
    `Which answer is the best${criteria ? `? What counts: ${criteria}` : ', being right and complete?'}`,
    `Reply with its number alone, from 1 to ${groups.length}, or with 0 if none of them is right.`,
  ].join('\n')
}

function synthesisPrompt(groups: readonly Group[], criteria: string | undefined): string {
  return [
    'Others were asked the above.',
    '',
    quotedAnswers(groups.map(({ value }) => answerForPrompt(value))),
    '',
    'Now answer the above yourself. Take from these answers what is right, leave out what is wrong, and where they',
    `contradict each other, decide.${criteria ? ` What counts: ${criteria}` : ''} Give the answer alone, and do not mention these answers.`,
  ].join('\n')
}

function numberOf(reply: GenerateResponse, count: number): number {
  // A number in the middle of a sentence may be that of an answer that it refuses.
  const lines = reply.content.trim().split('\n')
  const found = [lines[0], lines.at(-1)].flatMap(
    (line = '') => /^\W*(?:answer|number)?\W*(\d+)\W*$/i.exec(line)?.[1] ?? [],
  )
  const [number = -1, ...others] = new Set(found.map(Number))
  if (others.length === 0 && number >= 0 && number <= count) return number
  throw noRuling(reply, `The judge gave no number from 0 to ${count}.`)
}

function noRuling(reply: GenerateResponse, message: string): ConvokeError {
  const { provider, model, timing } = reply
  return new ConvokeError('invalid_output', message, {
    provider,
    model,
    attempts: timing.attempts,
    partial: reply,
  })
}

function checkMember(llm: Member, name: string): void {
  if (typeof llm?.agenerate === 'function') return
  throw new ConvokeError('invalid_request', `${name} takes an LLM, as of createLLM, not ${String(llm)}.`)
}
