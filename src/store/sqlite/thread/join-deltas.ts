/** Joins the deltas of a reply to the content of a message. */
import { MessageParts } from '../../../response/message-parts.ts'
import type { AssistantPart } from '../../../types.ts'

export function joinDeltas(deltas: readonly string[]): AssistantPart[] {
  const parts = new MessageParts()
  for (const delta of deltas) for (const part of JSON.parse(delta) as AssistantPart[]) parts.add(part)
  return parts.all
}
