/**
 * Ids for tool calls that a vendor sent without one.
 *
 * Room `providers/shared`: the parts that providers have in common. Imported by `providers`, `providers/anthropic`,
 * `providers/cohere`, `providers/gemini`, `providers/ollama`, `providers/openai`.
 */
import { randomUUID } from 'node:crypto'

/** A new id. It has at most 40 characters, because OpenAI takes no more. */
export function makeCallId(): string {
  return `call_${randomUUID().replaceAll('-', '')}`
}

/** Whether `makeCallId` made this id. The vendor that sent the call without an id does not know it. */
export function isMadeUpId(id: string): boolean {
  return /^call_[0-9a-f]{32}$/.test(id)
}
