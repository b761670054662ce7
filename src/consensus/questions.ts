/** The questions of a vote: the whole answer, or each field of an object by itself. */
import type { Question, Vote } from './strategy.ts'

export function questionsOn(votes: readonly Vote[], byField: boolean): Question[] {
  const fields = new Set(votes.flatMap(({ answer }) => (isFields(answer) ? Object.keys(answer) : [])))
  // Before any field is known, the whole answer is the one question.
  if (!byField || fields.size === 0) return [{ valueOf: (answer) => answer }]
  return [...fields].map((field) => ({
    field,
    // A member that left the field out votes for leaving it out.
    valueOf: (answer) => (isFields(answer) && Object.hasOwn(answer, field) ? answer[field] : undefined),
  }))
}

export function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
