/** Decodes the bytes of a stream into events: server-sent events or newline-delimited JSON, with lines of bounded length. */
import { ConvokeError } from '../errors.ts'
import { GrowingText } from './growing-text.ts'

/** One event of a stream: its data as text, and its name in formats that have names. */
export interface WireEvent {
  name: string | undefined
  data: string
  /** The connection ended inside this event, so that it may be cut off. */
  isTail?: boolean
}

export interface WireDecoder {
  /** The events that these bytes complete. @throws ConvokeError `malformed_response` when a line or an event is too long */
  push(bytes: Uint8Array): WireEvent[]
  /** The events in the bytes that were left when the connection ended. */
  end(): WireEvent[]
}

/** Decodes UTF-8 in pieces, as a TextDecoder does in its streaming mode. That mode is slow for small pieces. */
export class Utf8Decoder {
  // The byte order mark is removed below, because Node's decoder, in pieces, also removes one that is text.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #isStart = true
  /** Whether the last piece may end inside a character. */
  #isOpen = false

  push(bytes: Uint8Array): string {
    const wasOpen = this.#isOpen
    // A piece that ends with an ASCII byte, such as a line feed, cuts no character. Most pieces do.
    this.#isOpen = (bytes.at(-1) ?? 0x80) >= 0x80
    if (wasOpen || this.#isOpen) return this.#withoutMark(this.#decoder.decode(bytes, { stream: true }))
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    return this.#withoutMark(buffer.toString('utf8'))
  }

  end(): string {
    return this.#withoutMark(this.#decoder.decode())
  }

  #withoutMark(text: string): string {
    if (!this.#isStart || text === '') return text
    this.#isStart = false
    return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  }
}

/** Splits bytes into lines. A line or a character may be spread over several pieces. */
class LineSplitter {
  readonly #text = new Utf8Decoder()
  readonly #maxLineBytes: number
  readonly #splitsAtReturn: boolean
  #pending = ''
  /** The last piece ended with a CR, which ended a line. An LF at the start of the next piece belongs to it. */
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
    // The pending text has no line end, so only the new text is searched.
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

  /** @param more the length of what the line has beside the pending text */
  #check(more: number): void {
    if (this.#pending.length + more > this.#maxLineBytes) throw tooLong('A line', this.#maxLineBytes)
  }
}

function tooLong(what: string, maxLineBytes: number): ConvokeError {
  return new ConvokeError(
    'malformed_response',
    `${what} of the stream is longer than maxLineBytes ${maxLineBytes}. Raise maxLineBytes if the vendor sends such long ones.`,
  )
}

function lineEnd(text: string, from: number): number {
  const feed = text.indexOf('\n', from)
  const back = text.indexOf('\r', from)
  return feed < 0 ? back : back < 0 ? feed : Math.min(feed, back)
}

/**
 * Decodes server-sent events (WHATWG HTML, 9.2.6), with two differences. An event at the end of the connection that
 * lacks its blank line is given as a tail. Lines that are no field of an event are collected, and given at the end as
 * an event named `stray`, because some vendors (Gemini above all) send an error as bare JSON among the events.
 */
export class SseDecoder implements WireDecoder {
  readonly #lines: LineSplitter
  /** The first data line of the event. Most events have one. */
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
        if (this.#data !== undefined) events.push({ name: this.#name, data: this.#takeData() })
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
      events.push({ name: this.#name, data: this.#takeData(), isTail: true })
    }
    // A bare JSON error may be cut off. Any other text, such as HTML, is shown as it is.
    const isTail = /^\s*[[{]/.test(this.#stray)
    if (this.#stray.trim()) events.push({ name: 'stray', data: this.#stray, ...(isTail ? { isTail } : {}) })
    return events
  }

  #field(given: string): void {
    // The standard allows no blank before a field's name, but recorded streams have some.
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

  #takeData(): string {
    const data = (this.#data ?? '') + (this.#moreData?.text ?? '')
    this.#data = undefined
    this.#moreData = undefined
    return data
  }
}

/** Decodes newline-delimited JSON: one JSON text in each line. Empty lines are skipped. */
export class NdjsonDecoder implements WireDecoder {
  readonly #lines: LineSplitter

  constructor(maxLineBytes: number) {
    this.#lines = new LineSplitter(maxLineBytes, false)
  }

  push(bytes: Uint8Array): WireEvent[] {
    const events: WireEvent[] = []
    for (const line of this.#lines.push(bytes)) {
      const data = line.trim()
      // A proxy may send comments, which begin with a colon, to keep the connection alive.
      if (data && data.charCodeAt(0) !== 58) events.push({ name: undefined, data })
    }
    return events
  }

  end(): WireEvent[] {
    const data = this.#lines.end().trim()
    return data && data.charCodeAt(0) !== 58 ? [{ name: undefined, data, isTail: true }] : []
  }
}
