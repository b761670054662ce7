/** What an answer is: how members are asked for it, and how it is read from a reply. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError } from '../errors.ts'
import type { GenerateResponse, Message, Prompt } from '../types.ts'
import { isFields } from './questions.ts'

/** How exact numbers must agree: by so much, or by so large a part of the larger one. */
export type Tolerance = number | { relative: number }

export interface AnswerOptions {
  choices?: readonly string[]
  tolerance?: Tolerance
  schema?: StandardSchemaV1
  /** The answer is voted on field by field. */
  byField?: boolean
}

/** Answers of one kind. */
export interface AnswerKind {
  /** What is added to the prompt, if anything. */
  instruction: string | undefined
  /** @throws ConvokeError `invalid_output` for a reply that gives no answer */
  read(response: GenerateResponse): unknown
}

/** @throws ConvokeError `invalid_request` for options that contradict each other, or a wrong one */
export function answerKind({ choices, tolerance, schema, byField = false }: AnswerOptions): AnswerKind {
  if (choices !== undefined) {
    if (tolerance !== undefined || schema) {
      throw wrong(
        'choices go without tolerance and schema: an answer is one of a list, or a number, or an object',
      )
    }
    return choiceOf(checkedChoices(choices))
  }
  if (tolerance !== undefined) checkTolerance(tolerance)
  if (schema) return { instruction: undefined, read: (response) => outputOf(response, byField) }
  if (tolerance !== undefined) return { instruction: numberInstruction, read: numberOf }
  return { instruction: undefined, read: textOf }
}

const numberInstruction = 'Answer with one number alone, in digits, without a unit.'

function checkedChoices(choices: readonly string[]): readonly string[] {
  const isList = Array.isArray(choices) && choices.length > 1
  if (!isList || !choices.every((choice) => typeof choice === 'string' && normalizeText(choice) !== '')) {
    throw wrong('choices take a list of two or more texts')
  }
  const twice = choices.find(
    (choice, at) => choices.findIndex((other) => normalizeText(other) === normalizeText(choice)) !== at,
  )
  if (twice !== undefined) throw wrong(`choices have ${JSON.stringify(twice)} twice, case and dots aside`)
  return choices
}

function checkTolerance(tolerance: Tolerance): void {
  const size = typeof tolerance === 'object' && tolerance !== null ? tolerance.relative : tolerance
  if (typeof size !== 'number' || !(size >= 0) || size === Infinity) {
    throw wrong('tolerance takes a number from 0, or { relative: 0.01 }')
  }
}

function wrong(what: string): ConvokeError {
  return new ConvokeError('invalid_request', `The options are wrong: ${what}.`)
}

/**
 * Texts that differ in case, white space, quotes, emphasis or the final dot are one answer; those that are nothing else,
 * as `[]` and `()`, are not.
 */
export function normalizeText(text: string): string {
  const plain = text.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim()
  const bare = plain.replaceAll(/^[\s"'`*_“”‘’«»([]+|[\s"'`*_“”‘’«».,;:!?。)\]]+$/g, '')
  return bare || plain
}

function textOf(response: GenerateResponse): string {
  const text = checked(response).content.trim()
  if (text === '') throw unusable(response, 'it is empty')
  return text
}

function outputOf(response: GenerateResponse, byField: boolean): unknown {
  if (response.output === undefined) throw unusable(checked(response), 'it called a tool instead')
  // Counted as an object that leaves out every field, it would outvote those that have them.
  if (byField && !isFields(response.output)) throw unusable(response, 'it is no object with fields')
  return response.output
}

/** What makes another word or number of the one before it: `C++` is not `C`, nor 1.75 or 1,000 the number 1. */
const goesOn = /^(?:[\p{L}\p{N}+#/]|-\p{L}|[-.,:]\p{N})/u

/** The whole reply, or its first words, or its last line: a choice in mid-sentence may be one that is denied. */
function choiceOf(choices: readonly string[]): AnswerKind {
  // The longer one first: "very good" is not "very".
  const known = choices
    .map((choice) => ({ choice, words: normalizeText(choice) }))
    .sort((a, b) => b.words.length - a.words.length)
  const exactly = (text: string) => known.find(({ words }) => words === text)
  const atStart = (text: string) =>
    known.find(({ words }) => text.startsWith(words) && !goesOn.test(text.slice(words.length)))
  return {
    instruction: `Answer with exactly one of these, and nothing else: ${choices.map((choice) => JSON.stringify(choice)).join(', ')}.`,
    read(response) {
      const text = textOf(response)
      const lines = text
        .split('\n')
        .map((line) => normalizeText(line.replace(/^.*\banswer\b(?: is)?:?/i, '')))
      const whole = exactly(normalizeText(text))
      if (whole) return whole.choice
      const found = new Set([atStart(lines[0] ?? ''), exactly(lines.at(-1) ?? '')].filter(Boolean))
      const [only] = found
      if (only && found.size === 1) return only.choice
      throw unusable(response, `it is not one of ${choices.join(', ')}: ${JSON.stringify(text.slice(0, 80))}`)
    },
  }
}

const numberPattern = /[-−+]?(?:(?:\d{1,3}(?:[,_  ]\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?/gi

function numberOf(response: GenerateResponse): number {
  const text = textOf(response)
  const found = [...text.matchAll(numberPattern)].map(([word]) =>
    Number(word.replace('−', '-').replaceAll(/[,_  ]/g, '')),
  )
  const [only] = new Set(found)
  if (only !== undefined && new Set(found).size === 1 && Number.isFinite(only)) return only
  const what = found.length ? 'it has several numbers' : 'it has no number'
  throw unusable(response, `${what}: ${JSON.stringify(text.slice(0, 80))}`)
}

function checked(response: GenerateResponse): GenerateResponse {
  const { refusal, finishReason } = response
  if (refusal === undefined && finishReason !== 'content-filter') return response
  throw new ConvokeError(
    'content_filtered',
    `The member refused to answer: ${refusal ?? 'it was filtered'}`,
    {
      ...factsOf(response),
    },
  )
}

export function unusable(response: GenerateResponse, why: string): ConvokeError {
  return new ConvokeError('invalid_output', `The reply is no answer: ${why}.`, factsOf(response))
}

function factsOf(response: GenerateResponse) {
  const { provider, model, timing } = response
  return { provider, model, attempts: timing.attempts, partial: response }
}

/** A prompt with more behind it, in the same turn of the user: vendors want turns to alternate. */
export function withText(prompt: Prompt, text: string | undefined): Prompt {
  if (!text) return prompt
  if (typeof prompt === 'string') return `${prompt}\n\n${text}`
  const messages = [prompt].flat() as Message[]
  const last = messages.at(-1)
  if (last?.role !== 'user') return [...messages, { role: 'user', content: text }]
  const content =
    typeof last.content === 'string'
      ? `${last.content}\n\n${text}`
      : [...last.content, { type: 'text' as const, text }]
  return [...messages.slice(0, -1), { role: 'user', content }]
}
