/** What had arrived of a reply whose writer died: its deltas, as the content of a message. */
import type { AssistantPart } from '../src/types.ts'

/**
 * Adjacent pieces of one text are joined. A signature ends its part: it is the vendor's proof of that text alone.
 * Deltas have tool calls only when these are complete; one without an id, a name or arguments is dropped all the same.
 */
export function foldDeltas(deltas: readonly string[]): AssistantPart[] {
  const folded: AssistantPart[] = []
  for (const delta of deltas) for (const part of JSON.parse(delta) as AssistantPart[]) add(folded, part)
  return folded
}

function add(folded: AssistantPart[], part: AssistantPart): void {
  const last = folded.at(-1)
  switch (part.type) {
    case 'text':
      if (last?.type === 'text' && last.signature === undefined)
        folded[folded.length - 1] = { ...last, ...part, text: last.text + part.text }
      else folded.push(part)
      break
    case 'reasoning':
      if (last?.type === 'reasoning' && isContinued(last, part))
        folded[folded.length - 1] = { ...last, ...part, text: last.text + part.text }
      else folded.push(part)
      break
    case 'tool-call':
      if (part.id && part.name && 'arguments' in part) folded.push(part)
      break
    default:
      part satisfies never
  }
}

type Reasoning = Extract<AssistantPart, { type: 'reasoning' }>

function isContinued(last: Reasoning, part: Reasoning): boolean {
  if (last.signature !== undefined || last.redacted || part.redacted) return false
  return last.id === part.id || part.id === undefined
}
