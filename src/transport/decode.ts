/** Bytes to events: server-sent events and newline-delimited JSON, push by push, with bounded lines. */
import { ConvokeError } from '../errors.ts'
import { GrowingText } from './growing-text.ts'

/** One event of a stream: its name, where the framing has names, and its data as text. */
export interface WireEvent {
  name: string | undefined
  data: string
  /** The connection ended inside this event; it may be cut off. */
  isTail?: boolean
}

export interface WireDecoder {
  /** The events that these bytes complete. @throws ConvokeError `malformed_response` when a line is too long */
  push(bytes: Uint8Array): WireEvent[]
  /** What was left when the connection ended. */
  end(): WireEvent[]
}

/** Decodes pieces of UTF-8, as a TextDecoder does in its streaming mode, which is dear for small pieces. */
export class TextPieces {
  // A byte order mark is taken off below: in pieces, Node's decoder takes one off that is text.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #isStart = true
  /** A character may be cut. */
  #isOpen = false

  push(bytes: Uint8Array): string {
    const wasOpen = this.#isOpen
    // An ASCII byte is a character of its own, and ends any other: as a rule, a piece ends with a line's end.
    this.#isOpen = (bytes.at(-1) ?? 0x80) >= 0x80
    if (wasOpen || this.#isOpen) return this.#begun(this.#decoder.decode(bytes, { stream: true }))
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    return this.#begun(buffer.toString('utf8'))
  }

  end(): string {
    return this.#begun(this.#decoder.decode())
  }

  #begun(text: string): string {
    if (!this.#isStart || text === '') return text
    this.#isStart = false
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  }
}

/** Splits bytes into lines; characters that arrive in pieces are put together. */
class LineSplitter {
  readonly #text = new TextPieces()
  readonly #maxLineBytes: number
  readonly #splitsAtReturn: boolean
  #pending = ''
  /** A CR ended the last line at the very end of a push: an LF that follows belongs to it. */
  #skipFeed = false

  constructor(maxLineBytes: number, splitsAtReturn: boolean) {
    this.#maxLineBytes = maxLineBytes
    this.#splitsAtReturn = splitsAtReturn
  }

  push(bytes: Uint8Array): string[] {
    const text = this.#text.push(bytes)
    const lines: string[] = []
    let start = 0
    if (this.#skipFeed && text.length > 0) {
      this.#skipFeed = false
      if (text.charCodeAt(0) === 10) start = 1
    }
    // The pending text has no line end, so only what is new is searched.
    const hasReturn = this.#splitsAtReturn && text.includes('\r')
    for (;;) {
      const end = hasReturn ? lineEnd(text, start) : text.indexOf('\n', start)
      if (end < 0) break
      this.#check(end - start)
      lines.push(this.#pending + text.slice(start, end))
      this.#pending = ''
      start = end + 1
      if (hasReturn && text.charCodeAt(end) === 13) {
        if (start === text.length) this.#skipFeed = true
        else if (text.charCodeAt(start) === 10) start++
      }
    }
    this.#check(text.length - start)
    this.#pending += start === 0 ? text : text.slice(start)
    return lines
  }

  end(): string {
    return this.#pending + this.#text.end()
  }

  /** The line is longer than what waits by this. */
  #check(more: number): void {
    if (this.#pending.length + more > this.#maxLineBytes) throw tooLong('A line', this.#maxLineBytes)
  }
}

function tooLong(what: string, maxLineBytes: number): ConvokeError {
  return new ConvokeError(
    'malformed_response',
    `${what} of the stream is longer than maxLineBytes ${maxLineBytes}. Raise maxLineBytes if the vendor means it.`,
  )
}

function lineEnd(text: string, from: number): number {
  const feed = text.indexOf('\n', from)
  const back = text.indexOf('\r', from)
  return feed < 0 ? back : back < 0 ? feed : Math.min(feed, back)
}

/**
 * Server-sent events (WHATWG HTML, 9.2.6), with two liberties. Text at the end without its blank line is given as a
 * tail. Lines that are no field of an event are kept and given at the end as an event named `stray`: some vendors
 * (Gemini above all) put a bare JSON error there.
 */
export class SseDecoder implements WireDecoder {
  readonly #lines: LineSplitter
  /** As a rule one line. */
  #data: string | undefined
  #moreData: GrowingText | undefined
  #name: string | undefined
  #stray = ''
  readonly #maxLength: number

  constructor(maxLineBytes: number) {
    this.#maxLength = maxLineBytes
    this.#lines = new LineSplitter(maxLineBytes, true)
  }

  push(bytes: Uint8Array): WireEvent[] {
    const events: WireEvent[] = []
    for (const line of this.#lines.push(bytes)) {
      if (line === '') {
        if (this.#data !== undefined) events.push({ name: this.#name, data: this.#wholeData() })
        this.#name = undefined
      } else this.#field(line)
    }
    return events
  }

  end(): WireEvent[] {
    const last = this.#lines.end()
    const isCutName = ['data:', 'event:'].some((name) => last !== '' && name.startsWith(last))
    if (last && !isCutName) this.#field(last)
    const events: WireEvent[] = []
    if (this.#data !== undefined || isCutName) {
      events.push({ name: this.#name, data: this.#wholeData(), isTail: true })
    }
    // A bare JSON error may itself be cut off; other text (HTML, say) is what it is.
    const isTail = /^\s*[[{]/.test(this.#stray)
    if (this.#stray.trim()) events.push({ name: 'stray', data: this.#stray, ...(isTail ? { isTail } : {}) })
    return events
  }

  #field(given: string): void {
    // A blank before the name is outside of the standard, and has been recorded.
    const line = given.charCodeAt(0) <= 32 && /^[ \t]+(?:data|event):/.test(given) ? given.trimStart() : given
    if (line.startsWith('data:')) {
      this.#addData(line.slice(line.charCodeAt(5) === 32 ? 6 : 5))
    } else if (line.startsWith('event:')) {
      this.#name = line.slice(6).trim()
    } else if (line.charCodeAt(0) !== 58 /* a comment */ && !/^(id|retry|data|event)\b/.test(line)) {
      if (this.#stray.length < this.#maxLength) this.#stray += `${line}\n`
    }
  }

  #addData(value: string): void {
    if (this.#data === undefined) {
      this.#data = value
      return
    }
    this.#moreData ??= new GrowingText()
    this.#moreData.add(`\n${value}`)
    if (this.#data.length + this.#moreData.length > this.#maxLength)
      throw tooLong('An event', this.#maxLength)
  }

  #wholeData(): string {
    const data = (this.#data ?? '') + (this.#moreData?.text ?? '')
    this.#data = undefined
    this.#moreData = undefined
    return data
  }
}

/** A JSON text per line; empty lines are nothing. */
export class NdjsonDecoder implements WireDecoder {
  readonly #lines: LineSplitter

  constructor(maxLineBytes: number) {
    this.#lines = new LineSplitter(maxLineBytes, false)
  }

  push(bytes: Uint8Array): WireEvent[] {
    const events: WireEvent[] = []
    for (const line of this.#lines.push(bytes)) {
      const data = line.trim()
      // A keep-alive comment, as a proxy may send it, is nothing either.
      if (data && data.charCodeAt(0) !== 58) events.push({ name: undefined, data })
    }
    return events
  }

  end(): WireEvent[] {
    const data = this.#lines.end().trim()
    return data && data.charCodeAt(0) !== 58 ? [{ name: undefined, data, isTail: true }] : []
  }
}
