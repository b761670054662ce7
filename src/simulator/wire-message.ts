/** A message of a request, in one form for all vendors. */
export interface WireMessage {
  /** Whatever the vendor calls it; `unknown` for a role that no vendor has. */
  role: 'user' | 'assistant' | 'tool' | 'unknown'
  /** The role as it stands in the request. */
  givenRole: string
  /** All text of the message, joined. */
  text: string
  /** The ids of its tool calls; their names for vendors without ids. */
  calls: string[]
  /** The ids of the calls that it answers; their names for vendors without ids, and '' when it has neither. */
  results: string[]
  /** True when it has no text other than white space, no image, no call and no result. */
  isEmpty: boolean
}

/** Makes a message of one text; `more` adds calls or results, or overrides a field. */
export function wireMessage(givenRole: string, text: string, more: Partial<WireMessage> = {}): WireMessage {
  const calls = more.calls ?? []
  const results = more.results ?? []
  const isEmpty = text.trim() === '' && calls.length === 0 && results.length === 0
  return { role: roleOf(givenRole), givenRole, text, calls, results, isEmpty, ...more }
}

function roleOf(role: string): WireMessage['role'] {
  if (role === 'user' || role === 'assistant' || role === 'tool') return role
  if (role === 'model' || role === 'chatbot') return 'assistant'
  return role === 'function' ? 'tool' : 'unknown'
}
