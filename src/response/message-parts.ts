/**
 * Joins the pieces of a reply to the parts of a message. A built response, the record of a stream, and an interrupted
 * reply that is found again all use this code, so that they get the same parts.
 *
 * Room `response`: chunks become a response, and a response becomes chunks again. Imported by `blocking`,
 * `blocking/thread`, `combinators`, `consensus`, `index`, `llm`, `session`, `store/sqlite/thread`.
 */
import type { ProviderChunk } from '../provider.ts'
import { GrowingText } from '../transport/growing-text.ts'
import type { AssistantPart, ReasoningPart, StreamChunk, TextPart, ToolCallPart } from '../types.ts'

/** A part with text, which may still grow. */
interface GrowingPart {
  fields: Omit<TextPart, 'text'> | Omit<ReasoningPart, 'text'>
  text: GrowingText
}

/** A tool call, which comes whole. */
interface WholePart {
  fields: ToolCallPart
  text?: undefined
}

/** The piece that a chunk adds to the message; undefined for a chunk that adds none. */
export function pieceOf(chunk: ProviderChunk | StreamChunk, provider: string): AssistantPart | undefined {
  switch (chunk.type) {
    case 'text': {
      const { content, signature } = chunk
      // A sign of life is no piece: it must not separate the pieces around it.
      if (content === '' && !signature) return undefined
      return { type: 'text', text: content, ...(signature ? { signature } : {}) }
    }
    case 'reasoning': {
      const { reasoning, signature, redacted, id } = chunk
      return {
        type: 'reasoning',
        text: reasoning,
        provider,
        ...(signature ? { signature } : {}),
        ...(redacted ? { redacted } : {}),
        ...(id ? { id } : {}),
      }
    }
    case 'tool-call':
      return { type: 'tool-call', ...chunk.toolCall }
    default:
      return undefined
  }
}

export class MessageParts {
  #parts: (GrowingPart | WholePart)[] = []
  /** Whether a piece came since the last `take`. */
  #hasNew = false

  add(piece: AssistantPart): void {
    this.#hasNew = true
    if (piece.type === 'tool-call') {
      this.#parts.push({ fields: { ...piece } })
      return
    }
    const last = this.#parts.at(-1)
    if (last?.text && isContinued(last, piece)) {
      // Most pieces are plain text, which has no fields to update.
      if (piece.type === 'reasoning' || piece.signature) Object.assign(last.fields, fieldsOf(piece))
      last.text.add(piece.text)
      return
    }
    const text = new GrowingText()
    text.add(piece.text)
    this.#parts.push({ fields: fieldsOf(piece), text })
  }

  /** All parts so far. */
  get all(): AssistantPart[] {
    return this.#parts.map(partOf)
  }

  /** The text of all parts of this type. */
  textOf(type: 'text' | 'reasoning'): string {
    let joined = ''
    for (const { fields, text } of this.#parts) if (fields.type === type) joined += text?.text ?? ''
    return joined
  }

  /**
   * Takes out the parts that came since the last time. When all that was taken is added to new MessageParts in order,
   * the parts are the same. For that, the last part stays here without its text, so that later pieces are joined to it
   * or not as if nothing had been taken.
   */
  take(): AssistantPart[] {
    if (!this.#hasNew) return []
    this.#hasNew = false
    const taken = this.all
    const last = this.#parts.at(-1)
    this.#parts = []
    const lastTaken = taken.at(-1)
    if (!last?.text || hasEnded(last) || !lastTaken || lastTaken.type === 'tool-call') return taken
    const text = new GrowingText()
    this.#parts = [{ fields: { ...last.fields }, text }]
    // The first half of a surrogate pair waits here for the second, because it cannot be stored alone.
    if (/[\uD800-\uDBFF]$/.test(lastTaken.text)) {
      text.add(lastTaken.text.slice(-1))
      lastTaken.text = lastTaken.text.slice(0, -1)
    }
    return taken
  }
}

/**
 * Whether a piece belongs to the last part. Adjacent pieces of text are one part, and so are adjacent pieces of
 * reasoning with one id. A signature ends its part, because it is the vendor's proof of that text only. Redacted
 * reasoning is always a part of its own.
 */
function isContinued(last: GrowingPart, piece: TextPart | ReasoningPart): boolean {
  const { fields } = last
  if (hasEnded(last)) return false
  if (fields.type !== 'reasoning' || piece.type !== 'reasoning') return fields.type === piece.type
  if (piece.redacted) return false
  return fields.id === undefined || piece.id === undefined || fields.id === piece.id
}

function fieldsOf({ text: _text, ...fields }: TextPart | ReasoningPart): GrowingPart['fields'] {
  return fields
}

function hasEnded({ fields }: GrowingPart): boolean {
  return Boolean(fields.signature) || (fields.type === 'reasoning' && fields.redacted === true)
}

function partOf({ fields, text }: GrowingPart | WholePart): AssistantPart {
  return text ? ({ ...fields, text: text.text } as TextPart | ReasoningPart) : { ...fields }
}
