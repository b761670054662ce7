/** The rules of the strictest vendor about what a conversation may look like. */

/** One message of a conversation, with what the rules look at. */
export interface Turn {
  role: 'user' | 'assistant' | 'tool' | 'unknown'
  /** The role as the vendor's request has it. */
  givenRole: string
  text: string
  /** Ids of its tool calls; names where the vendor has no ids. */
  calls: string[]
  /** Ids of the calls that it answers; names where the vendor has no ids, `''` where it says neither. */
  results: string[]
  /** Nothing in it: no text but white space, no image, no call, no result. */
  isEmpty: boolean
}

/** A turn of a role, with nothing in it but a text. */
export function turn(givenRole: string, text: string, more: Partial<Turn> = {}): Turn {
  const calls = more.calls ?? []
  const results = more.results ?? []
  const isEmpty = text.trim() === '' && calls.length === 0 && results.length === 0
  return { role: roleOf(givenRole), givenRole, text, calls, results, isEmpty, ...more }
}

/** What is wrong with a conversation, in a sentence; undefined where nothing is. */
export function findBrokenRule(turns: readonly Turn[]): string | undefined {
  if (turns.length === 0) return 'messages: at least one message is required'
  let open: { calls: string[]; at: number } | undefined
  for (const [index, current] of turns.entries()) {
    const broken = brokenAlone(current, index) ?? brokenOrder(turns, index)
    if (broken !== undefined) return broken
    if (current.results.length > 0) {
      if (open === undefined) return orphan(current, index)
      const left = withoutAnswered(open.calls, current.results)
      if (left === undefined) return orphan(current, index)
      open = left.length > 0 ? { calls: left, at: open.at } : undefined
    } else if (open !== undefined) {
      return unanswered(open)
    }
    if (current.calls.length > 0) open = { calls: current.calls, at: index }
  }
  return open === undefined ? undefined : unanswered(open)
}

function roleOf(role: string): Turn['role'] {
  if (role === 'user' || role === 'assistant' || role === 'tool') return role
  if (role === 'model' || role === 'chatbot') return 'assistant'
  return role === 'function' ? 'tool' : 'unknown'
}

function brokenAlone(current: Turn, index: number): string | undefined {
  if (current.role === 'unknown') return `messages.${index}: Unexpected role "${current.givenRole}"`
  if (current.isEmpty) return `messages.${index}: all messages must have non-empty content`
  return undefined
}

/** Results belong to the user's side: they may come in several messages, and the user may speak after them. */
function brokenOrder(turns: readonly Turn[], index: number): string | undefined {
  const role = turns[index]?.role
  const before = turns[index - 1]?.role
  if (index === 0) return role === 'user' ? undefined : 'messages: first message must use the "user" role'
  if (role !== before || role === 'tool') return undefined
  return (
    'messages: roles must alternate between "user" and "assistant", ' +
    `but found multiple "${role}" roles in a row at messages.${index}`
  )
}

/** The calls that stay open after some results; undefined where a result answers none of them. */
function withoutAnswered(calls: readonly string[], results: readonly string[]): string[] | undefined {
  const left = [...calls]
  for (const result of results) {
    const at = result === '' ? 0 : left.indexOf(result)
    if (at < 0 || left.length === 0) return undefined
    left.splice(at, 1)
  }
  return left
}

function orphan(current: Turn, index: number): string {
  return (
    `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ` +
    `${current.results.join(', ')}. Each \`tool_result\` block must have a corresponding ` +
    '`tool_use` block in the previous message.'
  )
}

function unanswered(open: { calls: string[]; at: number }): string {
  return (
    `messages.${open.at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ` +
    `${open.calls.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block ` +
    'in the next message.'
  )
}
