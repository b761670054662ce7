/**
 * Byte pair encoding of a very long pre-token, such as megabytes of one letter, in windows. Its memory therefore does
 * not grow with the length of the pre-token.
 *
 * Two windows fit together when the last token of the first and the first token of the second, merged anew from their
 * bytes, come out as the same two tokens. Then the whole has exactly the tokens of its windows. Proof: suppose that it
 * has not, and take the first merge of the whole that crosses a seam. Up to it, the merges within the two tokens next
 * to that seam were those of the two tokens alone, because merges go by rank and from the left, whatever surrounds
 * them. So the same merge would have crossed the seam of the two tokens alone, which contradicts the condition.
 */
import { BpeMerge } from './bpe-merge.ts'
import type { MergeTable } from './merge-table.ts'

/**
 * The share of a window's end that is left to the next window, because the text after it may change the last tokens.
 */
const tailShare = 1 / 16
/** The most bytes that a UTF-16 unit takes in UTF-8. */
const maxUnitBytes = 3

export class WindowedBpe {
  readonly #table: MergeTable
  readonly #units: number
  readonly #merge: BpeMerge
  /** Merges the two tokens next to a seam, while `#merge` holds a window. */
  readonly #seam: BpeMerge

  /** @param units the UTF-16 units of a window */
  constructor(table: MergeTable, units: number) {
    this.#table = table
    this.#units = units
    this.#merge = new BpeMerge(table)
    this.#seam = new BpeMerge(table)
  }

  /** Returns the number of tokens, and appends the tokens to `into` when it is given. */
  encode(text: string, start: number, end: number, into?: number[]): number {
    const before = into?.length ?? 0
    // While windows do not fit together, larger ones are tried. One window for the whole always works.
    for (let units = this.#units; ; units *= 2) {
      const count = this.#encodeWindows(text, start, end, units, into)
      this.#merge.release()
      if (count !== undefined) return count
      if (into) into.length = before
    }
  }

  /** Undefined when two windows do not fit together. */
  #encodeWindows(
    text: string,
    start: number,
    end: number,
    units: number,
    into?: number[],
  ): number | undefined {
    const merge = this.#merge
    const bytes = new Int32Array(2 * units * maxUnitBytes)
    merge.reserve(bytes.length)
    let length = 0
    let total = 0
    let last: { id: number; bytes: Int32Array } | undefined
    for (let at = start; ;) {
      const to = wholeCharacters(text, at, Math.min(at + units, end))
      length = this.#table.writeBytes(text, at, to, bytes, length)
      at = to
      merge.ids.set(bytes.subarray(0, length))
      const count = merge.runLong(length)
      const { ids, ends } = merge
      const first = { id: ids[0] as number, bytes: bytes.subarray(0, ends[0]) }
      if (last && !this.#fits(last, first)) return undefined
      let kept = count
      if (at < end) while (kept > 0 && (ends[kept - 1] as number) > length - units * tailShare) kept--
      if (kept === 0) return undefined
      for (let index = 0; into && index < kept; index++) into.push(ids[index] as number)
      total += kept
      if (at === end) return total
      const from = kept > 1 ? (ends[kept - 2] as number) : 0
      const keptBytes = ends[kept - 1] as number
      last = { id: ids[kept - 1] as number, bytes: bytes.slice(from, keptBytes) }
      bytes.copyWithin(0, keptBytes, length)
      length -= keptBytes
      if (length > units * maxUnitBytes) return undefined
    }
  }

  #fits(left: { id: number; bytes: Int32Array }, right: { id: number; bytes: Int32Array }): boolean {
    const seam = this.#seam
    const length = left.bytes.length + right.bytes.length
    seam.reserve(length)
    seam.ids.set(left.bytes)
    seam.ids.set(right.bytes, left.bytes.length)
    return seam.run(length) === 2 && seam.ids[0] === left.id && seam.ids[1] === right.id
  }
}

/** Returns `to`, or the index before it when `to` would split a surrogate pair. */
function wholeCharacters(text: string, from: number, to: number): number {
  const splitsPair = to - 1 > from && to < text.length && (text.codePointAt(to - 1) as number) > 0xffff
  return splitsPair ? to - 1 : to
}
