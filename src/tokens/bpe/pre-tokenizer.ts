/**
 * Cuts a text into pre-tokens (words, numbers, runs of signs or spaces), which are then encoded one by one. The cuts
 * are those of OpenAI's split patterns, without regular expressions: V8 keeps a backtracking state for every character
 * of a run, and a long run overflows its stack.
 */
import type { Encoding } from './encodings.ts'

/**
 * Classes of characters, as bits. Letters without case and marks are both `upper` and `lower`: they fit either part of
 * a word.
 */
const upper = 1
const lower = 2
const letter = 4
const number = 8
const space = 16
const newline = 32
/** Set once a character was classified, so that 0 means "not yet". */
const known = 64

/** The classes by code point, filled when a character first occurs. Untouched pages of this array take no memory. */
const classes = new Uint8Array(0x110000)

function learn(code: number): number {
  const character = String.fromCodePoint(code)
  let found = known
  if (/[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]/u.test(character)) found |= upper
  if (/[\p{Ll}\p{Lm}\p{Lo}\p{M}]/u.test(character)) found |= lower
  if (/\p{L}/u.test(character)) found |= letter
  if (/\p{N}/u.test(character)) found |= number
  // Not \s, which differs in JavaScript: it includes U+FEFF and lacks U+0085.
  if (/\p{White_Space}/u.test(character)) found |= space
  if (code === 10 || code === 13) found |= newline
  classes[code] = found
  return found
}

for (let code = 0; code < 128; code++) learn(code)

const blank = 0x20
const slash = 0x2f
const apostrophe = 0x27

/** Finds the pre-tokens of one text. */
export class PreTokenizer {
  readonly #text: string
  /** True for o200k_base, which splits words by case, treats marks as letters, and keeps slashes with punctuation. */
  readonly #hasCase: boolean

  constructor(text: string, encoding: Encoding) {
    this.#text = text
    this.#hasCase = encoding === 'o200k_base'
  }

  /** The end of the pre-token that begins at `start`. */
  end(start: number): number {
    // In cl100k_base a contraction is a pre-token of its own; in o200k_base it belongs to its word.
    const contraction = this.#hasCase ? start : this.#contraction(start)
    if (contraction > start) return contraction
    const first = this.#class(start)
    const second = start + width(this.#text, start)
    if (!(first & (letter | number | newline))) {
      if (second < this.#text.length) {
        // One character before a word, usually a blank, belongs to the word.
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

  /** The end of the word that begins at `start`; 0 when none begins there. */
  #word(start: number): number {
    return this.#hasCase ? this.#casedWord(start) : this.#run(start, letter)
  }

  /**
   * A run of capitals, then a run of small letters; one of the two may be empty. Letters without case fit both runs.
   */
  #casedWord(start: number): number {
    const text = this.#text
    let end = start
    /** The end of the last letter in the run of capitals that is a small letter too. */
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

  /** The end of a run of characters of one class; 0 when it is empty. */
  #run(start: number, wanted: number): number {
    const text = this.#text
    let end = start
    while (end < text.length && this.#class(end) & wanted) end += width(text, end)
    return end > start ? end : 0
  }

  /** The end of 's, 't, 're, 've, 'm, 'll or 'd in any case, where ſ (U+017F) counts as s; `at` when there is none. */
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

  /**
   * The end of the run's last newline. Without a newline, the run's end but for its last space, which belongs to the
   * next word.
   */
  #spaces(start: number): number {
    const text = this.#text
    let end = start
    let afterNewline = 0
    for (; end < text.length; end++) {
      // Every space character is below U+10000, so it is one UTF-16 unit long.
      const found = this.#class(end)
      if (!(found & space)) break
      if (found & newline) afterNewline = end + 1
    }
    if (afterNewline > 0) return afterNewline
    return end === text.length || end - start === 1 ? end : end - 1
  }

  #class(at: number): number {
    return classOf(this.#code(at))
  }

  /**
   * The code point at an index. Half of a surrogate pair stays as it is: like U+FFFD it is neither letter nor space.
   */
  #code(at: number): number {
    const code = this.#text.charCodeAt(at)
    return (code & 0xfc00) === 0xd800 ? (this.#text.codePointAt(at) as number) : code
  }
}

/**
 * The first index between `from` and `to` (not included) at which a text can be cut so that the counts of both sides
 * add up to that of the whole; -1 when there is none. Two kinds of places are safe, whatever surrounds them: before a
 * blank that follows another character than a space, and between a letter and anything other than a letter, a mark or
 * an apostrophe. No pre-token crosses such a place, and none depends on what precedes it, or on anything after the
 * spaces that follow it.
 */
export function findSafeCut(text: string, from: number, to: number): number {
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
