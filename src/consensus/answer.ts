/** The kinds of answers: how members are asked for one, and how it is read from a reply. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ConvokeError } from '../errors.ts'
import type { GenerateResponse, Message, Prompt } from '../types.ts'
import { optionsError } from '../options/check-options.ts'
import { isFields } from './questions.ts'

/** By how much two equal numbers may differ: an amount, or a share of the larger one. */
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
  /** A text that is added to the prompt, if any. */
  instruction: string | undefined
  /** @throws ConvokeError `invalid_output` for a reply that gives no answer */
  read(response: GenerateResponse): unknown
}

/**
 * @param options whose values were checked (see `consensusRules`)
 * @throws ConvokeError `invalid_request` for options that contradict each other
 */
export function answerKind({ choices, tolerance, schema, byField = false }: AnswerOptions): AnswerKind {
  if (choices !== undefined) {
    if (tolerance !== undefined || schema) {
      const message =
        'The options choices, tolerance and schema ask for different answers: one of a list, a number, or an object. Leave out choices, or the others.'
      throw optionsError(context, message)
    }
    checkDistinct(choices)
    return choiceOf(choices)
  }
  if (schema) return { instruction: undefined, read: (response) => outputOf(response, byField) }
  if (tolerance !== undefined) return { instruction: numberInstruction, read: numberOf }
  return { instruction: undefined, read: textOf }
}

const context = { code: 'invalid_request', label: 'consensus' } as const
const numberInstruction = 'Answer with one number alone, in digits, without a unit.'

/** @throws ConvokeError `invalid_request` where two choices would be the same answer */
function checkDistinct(choices: readonly string[]): void {
  const seen = new Set<string>()
  for (const choice of choices) {
    const text = normalizeText(choice)
    if (seen.has(text)) {
      const message = `The option choices has ${JSON.stringify(choice)} twice: case and punctuation do not count.`
      throw optionsError(context, message)
    }
    seen.add(text)
  }
}

/**
 * Makes texts equal that differ only in case, white space, quotes, emphasis or the final dot. A text of nothing but such
 * signs, as `[]` or `()`, keeps them.
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
  // Any other value would count as an object without fields, and outvote the members that gave some.
  if (byField && !isFields(response.output)) throw unusable(response, 'it is no object with fields')
  return response.output
}

/** Signs that continue a word or a number: `C++` is not `C`, and neither 1.75 nor 1,000 is 1. */
const continuation = /^(?:[\p{L}\p{N}+#/]|-\p{L}|[-.,:]\p{N})/u

/**
 * Reads a choice from the whole reply, its first words, or its last line. A choice inside a sentence does not count, as
 * the sentence may deny it.
 */
function choiceOf(choices: readonly string[]): AnswerKind {
  // Longer choices come first, so that "very good" is not read as "very".
  const known = choices
    .map((choice) => ({ choice, words: normalizeText(choice) }))
    .sort((a, b) => b.words.length - a.words.length)
  const exactly = (text: string) => known.find(({ words }) => words === text)
  const atStart = (text: string) =>
    known.find(({ words }) => text.startsWith(words) && !continuation.test(text.slice(words.length)))
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

/** @throws ConvokeError `content_filtered` for a reply that was refused */
function checked(response: GenerateResponse): GenerateResponse {
  const { refusal, finishReason } = response
  if (refusal === undefined && finishReason !== 'content-filter') return response
  throw new ConvokeError(
    'content_filtered',
    `The member refused to answer: ${refusal ?? 'its reply was filtered'}`,
    factsOf(response),
  )
}

/** The error of a reply that gives no answer. */
export function unusable(response: GenerateResponse, why: string): ConvokeError {
  return new ConvokeError('invalid_output', `The reply is no answer: ${why}.`, factsOf(response))
}

function factsOf(response: GenerateResponse) {
  const { provider, model, timing } = response
  return { provider, model, attempts: timing.attempts, partial: response }
}

/** Adds a text to a prompt's last user message, as vendors want user and assistant messages to alternate. */
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
