/** A conversation as text to be summarised. It is kept in pieces, since one long string would stall the event loop. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { HistoryMessage } from './history.ts'

/** Characters made before the event loop gets its turn: some 2 ms. */
const unitsAtOnce = 262_144
const gap = '\n\n'

export class Transcript {
  /** One text per message. Each but the first begins with the gap. */
  readonly #lines: string[] = []
  /** The offset at which each text begins. */
  readonly #starts: number[] = []
  #length = 0

  static async of(messages: readonly HistoryMessage[]): Promise<Transcript> {
    const transcript = new Transcript()
    let units = 0
    for (const message of messages) {
      const line = lineOf(message)
      if (!line) continue
      transcript.#add(line)
      units += line.length
      if (units < unitsAtOnce) continue
      units = 0
      await nextTurn()
    }
    return transcript
  }

  get length(): number {
    return this.#length
  }

  slice(from: number, to: number): string {
    const pieces: string[] = []
    for (let at = this.#lineAt(from); at < this.#lines.length; at++) {
      const start = this.#starts[at] as number
      if (start >= to) break
      pieces.push((this.#lines[at] as string).slice(Math.max(from - start, 0), to - start))
    }
    return pieces.join('')
  }

  #add(line: string): void {
    const text = this.#length > 0 ? gap + line : line
    this.#lines.push(text)
    this.#starts.push(this.#length)
    this.#length += text.length
  }

  /** The index of the text that has this offset, by binary search. */
  #lineAt(offset: number): number {
    let low = 0
    for (let high = this.#starts.length; high - low > 1;) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] as number) <= offset) low = middle
      else high = middle
    }
    return low
  }
}

function lineOf(message: HistoryMessage): string {
  const parts = message.content.map((part) => {
    switch (part.type) {
      case 'text':
        return part.text
      case 'image':
        return '[an image]'
      case 'file':
        return `[a file: ${part.name ?? part.mediaType}]`
      case 'tool-call':
        return `[calls ${part.name} with ${JSON.stringify(part.arguments)}]`
      case 'tool-result':
        return `[${part.name ?? 'the tool'} gave ${JSON.stringify(part.result)}]`
      default:
        return ''
    }
  })
  const text = parts.filter(Boolean).join('\n')
  return text && `${message.role}: ${text}`
}
