/** A stored history as messages that the strictest vendor accepts. */
import { createHash } from 'node:crypto'
import type { MediaPart, RequestMessage } from '../provider.ts'
import { mediaPart } from '../request/media-part.ts'
import type { AssistantPart, FilePart, ImagePart, TextPart, ToolResultPart } from '../types.ts'
import type { HistoryMessage } from './history.ts'
import { isBlank } from './is-blank.ts'

/** The result that the model reads for a tool call that never got one. */
const noResult = 'There is no result: the conversation was interrupted before this tool had answered.'

/**
 * The messages of a history in the form that `provider` accepts: they begin with the user, roles alternate, every tool
 * call has a result (one that says so, where the turn was interrupted before the tool's), and nothing is empty. Reasoning
 * and signatures of other vendors are left out, and ids of calls that only
 * the other vendor accepts are replaced.
 */
export function sendableHistory(history: readonly HistoryMessage[], provider: string): RequestMessage[] {
  const conversation = new SentMessages(provider)
  for (const message of history) conversation.add(message)
  return conversation.end()
}

class SentMessages {
  readonly #provider: string
  readonly #sent: RequestMessage[] = []
  /** The last reply's calls without a result yet: names by the ids that are sent. */
  #openCalls = new Map<string, string>()
  /** The ids that are sent, by the stored ones. */
  readonly #callIds = new Map<string, string>()

  constructor(provider: string) {
    this.#provider = provider
  }

  add(message: HistoryMessage): void {
    switch (message.role) {
      case 'summary':
        // It is sent with the system prompt.
        return
      case 'tool':
        return this.#addResults(message.content)
      case 'user': {
        const content = message.content.filter((part) => !isBlank(part))
        if (content.length === 0) return
        this.#closeCalls()
        append(this.#sent, { role: 'user', content: content.map(asSent) })
        return
      }
      case 'assistant':
        return this.#addReply(message)
      default:
        message satisfies never
    }
  }

  end(): RequestMessage[] {
    this.#closeCalls()
    // Vendors want a conversation to begin with its user.
    const first = this.#sent.findIndex(({ role }) => role === 'user')
    return first > 0 ? this.#sent.slice(first) : this.#sent
  }

  #addResults(results: readonly ToolResultPart[]): void {
    const content = results.flatMap((part) => {
      const toolCallId = this.#callIds.get(part.toolCallId) ?? part.toolCallId
      const name = this.#openCalls.get(toolCallId)
      if (name === undefined || !this.#openCalls.delete(toolCallId)) return []
      return [{ ...part, toolCallId, name: part.name ?? name }]
    })
    if (content.length > 0) append(this.#sent, { role: 'tool', content })
  }

  #addReply(message: Extract<HistoryMessage, { role: 'assistant' }>): void {
    this.#closeCalls()
    const content = replyParts(message, this.#provider, this.#callIds)
    if (content.length === 0) return
    append(this.#sent, { role: 'assistant', content })
    for (const part of content) if (part.type === 'tool-call') this.#openCalls.set(part.id, part.name)
  }

  /** Gives each open call a result that says there is none. */
  #closeCalls(): void {
    if (this.#openCalls.size === 0) return
    const content = [...this.#openCalls].map(([toolCallId, name]) => ({
      type: 'tool-result' as const,
      toolCallId,
      name,
      result: noResult,
      isError: true,
    }))
    this.#openCalls = new Map()
    append(this.#sent, { role: 'tool', content })
  }
}

/** Adds a message, as a part of the last one where that has the same role. */
function append(sent: RequestMessage[], message: RequestMessage): void {
  const last = sent.at(-1)
  if (last?.role !== message.role) {
    sent.push(message)
    return
  }
  // The list was made here, so it may grow in place. A copy per message would make this quadratic.
  const content = last.content as unknown[]
  for (const part of message.content) content.push(part)
}

function asSent(part: TextPart | ImagePart | FilePart): TextPart | MediaPart {
  return part.type === 'text' ? part : mediaPart(part)
}

/** The parts of a reply that may be sent to `provider`; none when only reasoning would be left. */
function replyParts(
  message: Extract<HistoryMessage, { role: 'assistant' }>,
  provider: string,
  ids: Map<string, string>,
): AssistantPart[] {
  const isForeign = message.provider !== undefined && message.provider !== provider
  const parts = message.content.flatMap((part): AssistantPart[] => {
    switch (part.type) {
      case 'text': {
        const { signature, ...plain } = part
        if (part.text.trim() === '' && (isForeign || !signature)) return []
        return [isForeign ? plain : part]
      }
      case 'reasoning': {
        const isWhole = message.status === 'complete' || message.status === undefined || part.signature
        return part.provider === provider && isWhole ? [part] : []
      }
      case 'tool-call': {
        const { signature: _signature, ...plain } = part
        const id = isForeign ? neutralId(part.id) : part.id
        ids.set(part.id, id)
        return [isForeign ? { ...plain, id } : part]
      }
      default:
        return part satisfies never
    }
  })
  return parts.some(({ type }) => type !== 'reasoning') ? parts : []
}

/** An id that every vendor accepts. Mistral is the strictest: nine letters and digits. */
function neutralId(id: string): string {
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : `c${createHash('sha256').update(id).digest('hex').slice(0, 8)}`
}
