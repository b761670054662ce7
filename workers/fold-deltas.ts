/** What had arrived of a reply whose writer died: its deltas, as the content of a message. */
import { ReplyParts } from '../src/reply-parts.ts'
import type { AssistantPart } from '../src/types.ts'

export function foldDeltas(deltas: readonly string[]): AssistantPart[] {
  const parts = new ReplyParts()
  for (const delta of deltas) for (const part of JSON.parse(delta) as AssistantPart[]) parts.add(part)
  return parts.all
}
