/**
 * The parts of a reply, put together from its pieces. What is collected of a reply, what is recorded while it streams and
 * what is found of an interrupted one all come from here, so that they are the same.
 */
import type { ProviderChunk } from '../provider.ts'
import { GrowingText } from '../transport/growing-text.ts'
import type { AssistantPart, ReasoningPart, StreamChunk, TextPart } from '../types.ts'

/** A part with text, which may still grow. */
interface OpenPart {
  head: Omit<TextPart, 'text'> | Omit<ReasoningPart, 'text'>
  text: GrowingText
}

type Grown = OpenPart | { head: Extract<AssistantPart, { type: 'tool-call' }>; text?: undefined }

/** What a chunk adds to its reply; nothing where that is no part of a message. */
export function pieceOf(chunk: ProviderChunk | StreamChunk, provider: string): AssistantPart | undefined {
  switch (chunk.type) {
    case 'text': {
      const { content, signature } = chunk
      // A sign of life is no text: it parts nothing.
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
  #parts: Grown[] = []
  /** Whether anything came since the last `take`. */
  #isFresh = false

  add(piece: AssistantPart): void {
    this.#isFresh = true
    if (piece.type === 'tool-call') {
      this.#parts.push({ head: { ...piece } })
      return
    }
    const last = this.#parts.at(-1)
    if (last?.text && isContinued(last, piece)) {
      // Of plain text, the most of what comes, there is nothing more to note.
      if (piece.type === 'reasoning' || piece.signature) Object.assign(last.head, headOf(piece))
      last.text.add(piece.text)
      return
    }
    const text = new GrowingText()
    text.add(piece.text)
    this.#parts.push({ head: headOf(piece), text })
  }

  /** All of them, as they are now. */
  get all(): AssistantPart[] {
    return this.#parts.map(wholeOf)
  }

  /** The text of all parts of this type. */
  textOf(type: 'text' | 'reasoning'): string {
    let joined = ''
    for (const { head, text } of this.#parts) if (head.type === type) joined += text?.text ?? ''
    return joined
  }

  /**
   * What came since the last time. Put behind each other, what was taken gives the same parts: the last one stays here
   * without its text, so that what follows is joined to it, or not, as if nothing had been taken.
   */
  take(): AssistantPart[] {
    if (!this.#isFresh) return []
    this.#isFresh = false
    const taken = this.all
    const last = this.#parts.at(-1)
    this.#parts = []
    const end = taken.at(-1)
    if (!last?.text || isEnded(last) || !end || end.type === 'tool-call') return taken
    const text = new GrowingText()
    this.#parts = [{ head: { ...last.head }, text }]
    // Half a character waits for its other half: alone it could not be stored.
    if (/[\uD800-\uDBFF]$/.test(end.text)) {
      text.add(end.text.slice(-1))
      end.text = end.text.slice(0, -1)
    }
    return taken
  }
}

/**
 * Adjacent text is one part, and so is reasoning of one id. A signature ends its part: it is the vendor's proof of that
 * text alone. Reasoning that was withheld stands for itself.
 */
function isContinued(last: OpenPart, piece: TextPart | ReasoningPart): boolean {
  const { head } = last
  if (isEnded(last)) return false
  if (head.type !== 'reasoning' || piece.type !== 'reasoning') return head.type === piece.type
  if (piece.redacted) return false
  return head.id === undefined || piece.id === undefined || head.id === piece.id
}

function headOf({ text: _text, ...head }: TextPart | ReasoningPart): OpenPart['head'] {
  return head
}

function isEnded({ head }: OpenPart): boolean {
  return Boolean(head.signature) || (head.type === 'reasoning' && head.redacted === true)
}

function wholeOf({ head, text }: Grown): AssistantPart {
  return text ? ({ ...head, text: text.text } as TextPart | ReasoningPart) : { ...head }
}
