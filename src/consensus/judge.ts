/** Strategies that ask one more LLM: it picks the best answer, or writes a new one from all answers. */
import { madeBy } from '../threads/recipe.ts'
import { ConvokeError, isConvokeError } from '../errors.ts'
import { describeValue, optionsError } from '../options/check-options.ts'
import type { Member } from '../fan-out/members.ts'
import type { GenerateResponse } from '../types.ts'
import { withText } from './answer.ts'
import { rulingOf } from './count.ts'
import { quotedAnswers, answerForPrompt } from './quoted-answers.ts'
import type { Ballot, Ruling, Strategy } from './strategy.ts'
import { tally } from './tally.ts'
import type { Group } from './tally.ts'

/** Options of `judge` and `synthesize`. */
export interface JudgeOptions {
  /** The qualities of a good answer, in your words. */
  criteria?: string
  /** Makes texts equal that mean the same, so that each answer is shown once. @default as for `majority` */
  normalize?: (text: string) => string
}

/**
 * Another LLM picks the best answer, or none (the verdict is `split`, without an answer). It sees each different answer
 * once, in random order, without names or numbers of votes. It is not asked where all members gave the same answer. When
 * it fails, gives no ruling, or has no time left, the verdict is `degraded` and has the answer with the most votes.
 *
 * @throws ConvokeError `invalid_request` for a judge that is no LLM
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
          return { isAgreed: false, supporters: [], reason: 'The judge found that no answer is right.' }
        const reason = 'The judge chose this answer.'
        return { answer: chosen.value, isAgreed: true, supporters: chosen.votes, reason }
      }),
  })
}

/**
 * Another LLM writes one answer from all answers. It may be an answer that no member gave, and has to be of the kind that
 * was asked for (a choice, a number, an object). `agreement` is the share of the most frequent answer. It is not asked
 * where all members gave the same answer; when it fails, the verdict is the one that `judge` has without its judge.
 *
 * @throws ConvokeError `invalid_request` for a synthesizer that is no LLM
 */
export function synthesize(llm: Member, options: JudgeOptions = {}): Strategy {
  const { criteria, normalize } = options
  checkMember(llm, 'synthesize')
  return madeBy<Strategy>('synthesize', [llm, options], {
    name: 'synthesize',
    normalize,
    decide: (ballot, context) =>
      advised(ballot, 'synthesizer', async (groups, counted) => {
        const question = withText(context.prompt, synthesisPrompt(context.shuffle(groups), criteria))
        const { schema } = context.options
        const prompt = withText(question, context.instruction)
        const reply = await context.consult('synthesizer', llm, prompt, schema ? { schema } : {})
        const answer = context.read(reply)
        const { agreement = 0 } = counted
        const reason = 'The synthesizer wrote one answer from all answers.'
        return { answer, isAgreed: true, agreement, supporters: ballot.votes, reason }
      }),
  })
}

/** The ruling of a further LLM; the plain count where all agree, or where that LLM fails. */
async function advised(
  ballot: Ballot,
  role: string,
  ask: (groups: readonly Group[], counted: Ruling) => Promise<Ruling>,
): Promise<Ruling> {
  const counted = rulingOf(ballot)
  const groups = tally(ballot.votes, (answer) => answer, ballot)
  if (groups.length === 1)
    return { ...counted, reason: `All members gave the same answer; no ${role} was needed.` }
  try {
    return await ask(groups, counted)
  } catch (error) {
    if (!isConvokeError(error)) throw error
    const reason = `The ${role} gave no ruling (${error.code}); this is the answer with the most votes.`
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
  // A number inside a sentence does not count: the sentence may say that this answer is wrong.
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

function checkMember(llm: Member, label: string): void {
  if (typeof llm?.agenerate === 'function') return
  throw optionsError(
    { code: 'invalid_request', label },
    `The LLM is ${describeValue(llm)}; it takes one that createLLM made.`,
  )
}
