/** Texts to tokens, by one of OpenAI's vocabularies. Special tokens such as `<|endoftext|>` are plain text here. */
import type { Encoding } from './encodings.ts'
import { Merge } from './merge.ts'
import type { Pairs } from './pairs.ts'
import { Pieces } from './pieces.ts'

/** Pieces up to so many units are remembered: words, as a rule. */
const rememberedUnits = 15
/** A power of two; 1 MB in all. A piece that falls on the place of another takes it. */
const places = 32_768
const placeUnits = rememberedUnits + 1
/** The first unit of a place: the length below, the count above. */
const countShift = 4

export class Tokenizer {
  readonly #encoding: Encoding
  readonly #pairs: Pairs
  readonly #merge: Merge
  readonly #memory = new Uint16Array(places * placeUnits)

  constructor(encoding: Encoding, pairs: Pairs) {
    this.#encoding = encoding
    this.#pairs = pairs
    this.#merge = new Merge(pairs)
  }

  count(text: string): number {
    const pieces = new Pieces(text, this.#encoding)
    let count = 0
    for (let start = 0, end; start < text.length; start = end) {
      end = pieces.end(start)
      count +=
        end - start <= rememberedUnits ? this.#recall(text, start, end) : this.#encode(text, start, end)
    }
    this.#merge.release()
    return count
  }

  /** The tokens themselves, some times slower than their count. */
  ids(text: string): number[] {
    const pieces = new Pieces(text, this.#encoding)
    const ids: number[] = []
    for (let start = 0, end; start < text.length; start = end) {
      end = pieces.end(start)
      const count = this.#encode(text, start, end)
      for (let index = 0; index < count; index++) ids.push(this.#merge.ids[index] as number)
    }
    return ids
  }

  #recall(text: string, start: number, end: number): number {
    const memory = this.#memory
    const length = end - start
    let hash = length
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1)
    const place = ((hash ^ (hash >>> 15)) & (places - 1)) * placeUnits
    const head = memory[place] as number
    if ((head & rememberedUnits) === length) {
      let index = 0
      while (index < length && memory[place + 1 + index] === text.charCodeAt(start + index)) index++
      if (index === length) return head >> countShift
    }
    const count = this.#encode(text, start, end)
    memory[place] = length | (count << countShift)
    for (let index = 0; index < length; index++) memory[place + 1 + index] = text.charCodeAt(start + index)
    return count
  }

  /** Leaves the tokens of a piece in `#merge.ids`, and gives their number. */
  #encode(text: string, start: number, end: number): number {
    const merge = this.#merge
    merge.reserve((end - start) * 3)
    const { ids } = merge
    const pairs = this.#pairs
    let length = 0
    for (let at = start; at < end; at++) {
      let code = text.charCodeAt(at)
      if (code < 0x80) {
        ids[length++] = pairs.ofByte(code)
        continue
      }
      if (code < 0x800) {
        ids[length++] = pairs.ofByte(0xc0 | (code >> 6))
      } else {
        if ((code & 0xf800) === 0xd800) {
          const whole = text.codePointAt(at) as number
          // Half a pair has no bytes of its own; U+FFFD stands for it, as in every encoder.
          code = whole > 0xffff ? whole : 0xfffd
        }
        if (code > 0xffff) {
          at++
          ids[length++] = pairs.ofByte(0xf0 | (code >> 18))
          ids[length++] = pairs.ofByte(0x80 | ((code >> 12) & 0x3f))
        } else {
          ids[length++] = pairs.ofByte(0xe0 | (code >> 12))
        }
        ids[length++] = pairs.ofByte(0x80 | ((code >> 6) & 0x3f))
      }
      ids[length++] = pairs.ofByte(0x80 | (code & 0x3f))
    }
    return merge.run(length)
  }
}
