/**
 * The pieces that a text is cut into before anything merges: those of OpenAI's split patterns, found by hand. As a
 * regular expression V8 keeps a way back for every character of a run, and ends with a stack overflow in a long one.
 */
import type { Encoding } from './encodings.ts'

/** What a character can be; a letter without case, and a mark, may stand in either part of a word. */
const upper = 1
const lower = 2
const letter = 4
const number = 8
const space = 16
const newline = 32
/** Set for every character that was looked up, so that 0 means "not yet". */
const known = 64

/** By code point, filled as characters turn up; the memory of what never does is never touched. */
const classes = new Uint8Array(0x110000)

function learn(code: number): number {
  const character = String.fromCodePoint(code)
  let found = known
  if (/[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]/u.test(character)) found |= upper
  if (/[\p{Ll}\p{Lm}\p{Lo}\p{M}]/u.test(character)) found |= lower
  if (/\p{L}/u.test(character)) found |= letter
  if (/\p{N}/u.test(character)) found |= number
  // JavaScript's \s is another set: it has U+FEFF, and lacks U+0085.
  if (/\p{White_Space}/u.test(character)) found |= space
  if (code === 10 || code === 13) found |= newline
  classes[code] = found
  return found
}

for (let code = 0; code < 128; code++) learn(code)

const blank = 0x20
const slash = 0x2f
const apostrophe = 0x27

/** Finds the pieces of one text. */
export class PreTokenizer {
  readonly #text: string
  readonly #hasCase: boolean
  /** Only o200k_base parts words by their case, lets marks be letters, and takes slashes with punctuation. */
  constructor(text: string, encoding: Encoding) {
    this.#text = text
    this.#hasCase = encoding === 'o200k_base'
  }

  /** Where the piece ends that begins at `start`. */
  end(start: number): number {
    // In cl100k_base a contraction is a piece of its own, and comes before words; in o200k_base it belongs to its word.
    const contraction = this.#hasCase ? start : this.#contraction(start)
    if (contraction > start) return contraction
    const first = this.#class(start)
    const second = start + width(this.#text, start)
    if (!(first & (letter | number | newline))) {
      if (second < this.#text.length) {
        // One character in front, a blank as a rule, belongs to the word behind it.
        const word = this.#word(second)
        if (word > 0) return word
      }
    }
    const word = this.#word(start)
    if (word > 0) return word
    if (first & number) return this.#numbers(start)
    if (!(first & space)) return this.#signs(start)
    if (this.#code(start) === blank && second < this.#text.length && isSign(this.#class(second))) {
      return this.#signs(second)
    }
    return this.#spaces(start)
  }

  /** The end of the word that begins at `start`; 0 where none does. */
  #word(start: number): number {
    return this.#hasCase ? this.#casedWord(start) : this.#run(start, letter)
  }

  /** Capitals, then small letters, one of either at least; letters without case count as what is wanted. */
  #casedWord(start: number): number {
    const text = this.#text
    let end = start
    /** Behind the last letter of the capitals' run that may be a small letter too. */
    let lastLower = 0
    for (let next; end < text.length; end = next) {
      const found = this.#class(end)
      if (!(found & upper)) break
      next = end + width(text, end)
      if (found & lower) lastLower = next
    }
    const small = this.#run(end, lower)
    const word = small > 0 ? small : lastLower > 0 ? lastLower : end
    if (word === start) return 0
    const contraction = this.#contraction(word)
    return contraction > word ? contraction : word
  }

  /** The end of a run of characters that are all of a class; 0 where there is none. */
  #run(start: number, wanted: number): number {
    const text = this.#text
    let end = start
    while (end < text.length && this.#class(end) & wanted) end += width(text, end)
    return end > start ? end : 0
  }

  /** 's, 't, 're, 've, 'm, 'll, 'd in any case; folding takes ſ for s. */
  #contraction(at: number): number {
    const text = this.#text
    if (text.charCodeAt(at) !== apostrophe) return at
    const one = text.charCodeAt(at + 1) | 0x20
    if (one === 0x73 || one === 0x74 || one === 0x6d || one === 0x64) return at + 2
    if (text.charCodeAt(at + 1) === 0x17f) return at + 2
    const two = text.charCodeAt(at + 2) | 0x20
    if ((one === 0x72 || one === 0x76) && two === 0x65) return at + 3
    return one === 0x6c && two === 0x6c ? at + 3 : at
  }

  #numbers(start: number): number {
    const text = this.#text
    let end = start
    for (let count = 0; count < 3 && end < text.length && this.#class(end) & number; count++) {
      end += width(text, end)
    }
    return end
  }

  #signs(start: number): number {
    const text = this.#text
    let end = start
    while (end < text.length && isSign(this.#class(end))) end += width(text, end)
    while (end < text.length) {
      const isTaken = this.#class(end) & newline || (this.#hasCase && text.charCodeAt(end) === slash)
      if (!isTaken) break
      end++
    }
    return end
  }

  /** Up to the last newline of the run; without one all of it, but for the last, which the next word takes. */
  #spaces(start: number): number {
    const text = this.#text
    let end = start
    let behindNewline = 0
    for (; end < text.length; end++) {
      // No space lies beyond the first 65 536 characters: each is one unit long.
      const found = this.#class(end)
      if (!(found & space)) break
      if (found & newline) behindNewline = end + 1
    }
    if (behindNewline > 0) return behindNewline
    return end === text.length || end - start === 1 ? end : end - 1
  }

  #class(at: number): number {
    return classOf(this.#code(at))
  }

  /** Half a surrogate pair stands for itself: it is neither letter nor space, just as U+FFFD. */
  #code(at: number): number {
    const code = this.#text.charCodeAt(at)
    return (code & 0xfc00) === 0xd800 ? (this.#text.codePointAt(at) as number) : code
  }
}

/**
 * The first place from `from` to before `to` where a piece ends whatever stands around it, so that the counts of both
 * sides add up to that of the whole; -1 where there is none. No piece goes on over a blank behind a character, nor from
 * a letter to what is neither letter, mark nor apostrophe; and none looks back, or further on than the spaces go.
 */
export function sureEnd(text: string, from: number, to: number): number {
  let before = classOf(text.charCodeAt(from - 1))
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    const found = classOf(code)
    if (code === blank) {
      if (!(before & space)) return at
    } else if (before & letter && !(found & (letter | upper | lower)) && code !== apostrophe) {
      if ((code & 0xf800) !== 0xd800) return at
    }
    before = found
  }
  return -1
}

function classOf(code: number): number {
  return classes[code] || learn(code)
}

function width(text: string, at: number): number {
  if ((text.charCodeAt(at) & 0xfc00) !== 0xd800) return 1
  return (text.codePointAt(at) as number) > 0xffff ? 2 : 1
}

function isSign(found: number): boolean {
  return !(found & (space | letter | number))
}
