/**
 * Turns texts into tokens of one OpenAI vocabulary. Special tokens such as `<|endoftext|>` are treated as plain text.
 */
import type { Encoding } from './encodings.ts'
import { WindowedBpe } from './windowed-bpe.ts'
import { BpeMerge } from './bpe-merge.ts'
import type { MergeTable } from './merge-table.ts'
import { PreTokenizer } from './pre-tokenizer.ts'

/** The longest pre-token whose count is cached, in UTF-16 units. Most words are shorter. */
const cachedUnits = 15
/** The slots of the cache: a power of two, 1 MB in all. A pre-token overwrites another one in the same slot. */
const slots = 32_768
const slotUnits = cachedUnits + 1
/** The first unit of a slot holds the length in its lowest bits, and the count above them. */
const countShift = 4
/** Pre-tokens of more units are merged in windows of this size. */
const windowUnits = 16_384

export class Tokenizer {
  readonly #encoding: Encoding
  readonly #table: MergeTable
  readonly #merge: BpeMerge
  readonly #windowUnits: number
  readonly #cache = new Uint16Array(slots * slotUnits)
  #windowed: WindowedBpe | undefined

  /** @param window UTF-16 units; tests pass small windows, because mistakes would show at their edges */
  constructor(encoding: Encoding, table: MergeTable, window = windowUnits) {
    this.#encoding = encoding
    this.#table = table
    this.#merge = new BpeMerge(table)
    this.#windowUnits = window
  }

  /** The number of tokens in a text. */
  count(text: string): number {
    const preTokenizer = new PreTokenizer(text, this.#encoding)
    let count = 0
    for (let start = 0, end; start < text.length; start = end) {
      end = preTokenizer.end(start)
      if (end - start <= cachedUnits) count += this.#cachedCount(text, start, end)
      else if (end - start <= this.#windowUnits) count += this.#encode(text, start, end)
      else count += this.#windowedBpe().encode(text, start, end)
    }
    this.#merge.release()
    return count
  }

  /** The tokens of a text. Several times slower than counting them. */
  ids(text: string): number[] {
    const preTokenizer = new PreTokenizer(text, this.#encoding)
    const ids: number[] = []
    for (let start = 0, end; start < text.length; start = end) {
      end = preTokenizer.end(start)
      if (end - start > this.#windowUnits) {
        this.#windowedBpe().encode(text, start, end, ids)
        continue
      }
      const count = this.#encode(text, start, end)
      for (let index = 0; index < count; index++) ids.push(this.#merge.ids[index] as number)
    }
    return ids
  }

  #windowedBpe(): WindowedBpe {
    return (this.#windowed ??= new WindowedBpe(this.#table, this.#windowUnits))
  }

  #cachedCount(text: string, start: number, end: number): number {
    const cache = this.#cache
    const length = end - start
    let hash = length
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1)
    const slot = ((hash ^ (hash >>> 15)) & (slots - 1)) * slotUnits
    const head = cache[slot] as number
    if ((head & cachedUnits) === length) {
      let index = 0
      while (index < length && cache[slot + 1 + index] === text.charCodeAt(start + index)) index++
      if (index === length) return head >> countShift
    }
    const count = this.#encode(text, start, end)
    cache[slot] = length | (count << countShift)
    for (let index = 0; index < length; index++) cache[slot + 1 + index] = text.charCodeAt(start + index)
    return count
  }

  /** Leaves the tokens of a pre-token in `#merge.ids`, and returns their number. */
  #encode(text: string, start: number, end: number): number {
    const merge = this.#merge
    merge.reserve((end - start) * 3)
    return merge.run(this.#table.writeBytes(text, start, end, merge.ids))
  }
}
