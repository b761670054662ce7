/** Texts to tokens, by one of OpenAI's vocabularies. Special tokens such as `<|endoftext|>` are plain text here. */
import type { Encoding } from './encodings.ts'
import { WindowedBpe } from './windowed-bpe.ts'
import { BpeMerge } from './bpe-merge.ts'
import type { MergeTable } from './merge-table.ts'
import { PreTokenizer } from './pre-tokenizer.ts'

/** Pieces up to so many units are remembered: words, as a rule. */
const rememberedUnits = 15
/** A power of two; 1 MB in all. A piece that falls on the place of another takes it. */
const places = 32_768
const placeUnits = rememberedUnits + 1
/** The first unit of a place: the length below, the count above. */
const countShift = 4
/** Pieces of more units are merged in windows, of so many units each. */
const windowUnits = 16_384

export class Tokenizer {
  readonly #encoding: Encoding
  readonly #table: MergeTable
  readonly #merge: BpeMerge
  readonly #windowUnits: number
  readonly #memory = new Uint16Array(places * placeUnits)
  #long: WindowedBpe | undefined

  /** Tests pass smaller windows: their edges are where a count could go wrong. */
  constructor(encoding: Encoding, table: MergeTable, window = windowUnits) {
    this.#encoding = encoding
    this.#table = table
    this.#merge = new BpeMerge(table)
    this.#windowUnits = window
  }

  count(text: string): number {
    const pieces = new PreTokenizer(text, this.#encoding)
    let count = 0
    for (let start = 0, end; start < text.length; start = end) {
      end = pieces.end(start)
      if (end - start <= rememberedUnits) count += this.#recall(text, start, end)
      else if (end - start <= this.#windowUnits) count += this.#encode(text, start, end)
      else count += this.#longPiece().encode(text, start, end)
    }
    this.#merge.release()
    return count
  }

  /** The tokens themselves, some times slower than their count. */
  ids(text: string): number[] {
    const pieces = new PreTokenizer(text, this.#encoding)
    const ids: number[] = []
    for (let start = 0, end; start < text.length; start = end) {
      end = pieces.end(start)
      if (end - start > this.#windowUnits) {
        this.#longPiece().encode(text, start, end, ids)
        continue
      }
      const count = this.#encode(text, start, end)
      for (let index = 0; index < count; index++) ids.push(this.#merge.ids[index] as number)
    }
    return ids
  }

  #longPiece(): WindowedBpe {
    return (this.#long ??= new WindowedBpe(this.#table, this.#windowUnits))
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
    return merge.run(this.#table.writeBytes(text, start, end, merge.ids))
  }
}
