/** The rules of the strictest vendor about the order of messages, calls and results in a conversation. */
import type { WireMessage } from './wire-message.ts'

/** The first rule that a conversation breaks, as the vendor's message; undefined when it breaks none. */
export function findBrokenRule(messages: readonly WireMessage[]): string | undefined {
  if (messages.length === 0) return 'messages: at least one message is required'
  let open: { calls: string[]; at: number } | undefined
  for (const [index, current] of messages.entries()) {
    const broken = brokenByItself(current, index) ?? brokenOrder(messages, index)
    if (broken !== undefined) return broken
    if (current.results.length > 0) {
      if (open === undefined) return orphanMessage(current, index)
      const left = withoutAnswered(open.calls, current.results)
      if (left === undefined) return orphanMessage(current, index)
      open = left.length > 0 ? { calls: left, at: open.at } : undefined
    } else if (open !== undefined) {
      return unansweredMessage(open)
    }
    if (current.calls.length > 0) open = { calls: current.calls, at: index }
  }
  return open === undefined ? undefined : unansweredMessage(open)
}

function brokenByItself(current: WireMessage, index: number): string | undefined {
  if (current.role === 'unknown') return `messages.${index}: Unexpected role "${current.givenRole}"`
  if (current.isEmpty) return `messages.${index}: all messages must have non-empty content`
  return undefined
}

/** Results count as the user's side: they may fill several messages, and a user message may follow them. */
function brokenOrder(messages: readonly WireMessage[], index: number): string | undefined {
  const role = messages[index]?.role
  const before = messages[index - 1]?.role
  if (index === 0) return role === 'user' ? undefined : 'messages: first message must use the "user" role'
  if (role !== before || role === 'tool') return undefined
  return (
    'messages: roles must alternate between "user" and "assistant", ' +
    `but found multiple "${role}" roles in a row at messages.${index}`
  )
}

/** The calls that are still open after some results; undefined when a result answers none of them. */
function withoutAnswered(calls: readonly string[], results: readonly string[]): string[] | undefined {
  const left = [...calls]
  for (const result of results) {
    const at = result === '' ? 0 : left.indexOf(result)
    if (at < 0 || left.length === 0) return undefined
    left.splice(at, 1)
  }
  return left
}

function orphanMessage(current: WireMessage, index: number): string {
  return (
    `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ` +
    `${current.results.join(', ')}. Each \`tool_result\` block must have a corresponding ` +
    '`tool_use` block in the previous message.'
  )
}

function unansweredMessage(open: { calls: string[]; at: number }): string {
  return (
    `messages.${open.at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ` +
    `${open.calls.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block ` +
    'in the next message.'
  )
}
