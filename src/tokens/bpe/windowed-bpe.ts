/**
 * A piece of megabytes, such as a run of one letter, in windows: its memory does not grow with its length.
 *
 * Two windows join where the last token of the one and the first of the other, merged together from their bytes, come
 * out as these two again. Then the whole comes out as its windows did. Were it not so, take the first merge of the whole
 * that goes over a seam: up to it, all that happened in the two tokens beside that seam was what happens in them alone,
 * since merges come by rank and from the left, whatever stands around. So it would go over their seam alone, too.
 */
import { BpeMerge } from './bpe-merge.ts'
import type { MergeTable } from './merge-table.ts'

/** Of a window, so much of its end is left to the next: what comes behind it may change the last tokens. */
const tailShare = 1 / 16
/** A UTF-16 unit has at most so many bytes in UTF-8. */
const unitBytes = 3

export class WindowedBpe {
  readonly #table: MergeTable
  readonly #units: number
  readonly #merge: BpeMerge
  /** For the two tokens beside a seam, while the other holds a window. */
  readonly #seam: BpeMerge

  /** Windows of so many UTF-16 units. */
  constructor(table: MergeTable, units: number) {
    this.#table = table
    this.#units = units
    this.#merge = new BpeMerge(table)
    this.#seam = new BpeMerge(table)
  }

  /** The number of its tokens, which are also put behind those in `into`, where that is given. */
  encode(text: string, start: number, end: number, into?: number[]): number {
    const before = into?.length ?? 0
    // Windows that do not join are made larger: at the latest, one window holds the piece.
    for (let units = this.#units; ; units *= 2) {
      const count = this.#byWindows(text, start, end, units, into)
      this.#merge.release()
      if (count !== undefined) return count
      if (into) into.length = before
    }
  }

  /** Undefined where two windows do not join. */
  #byWindows(text: string, start: number, end: number, units: number, into?: number[]): number | undefined {
    const merge = this.#merge
    const bytes = new Int32Array(2 * units * unitBytes)
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
      if (last && !this.#join(last, first)) return undefined
      let kept = count
      if (at < end) while (kept > 0 && (ends[kept - 1] as number) > length - units * tailShare) kept--
      if (kept === 0) return undefined
      for (let index = 0; into && index < kept; index++) into.push(ids[index] as number)
      total += kept
      if (at === end) return total
      const from = kept > 1 ? (ends[kept - 2] as number) : 0
      const behind = ends[kept - 1] as number
      last = { id: ids[kept - 1] as number, bytes: bytes.slice(from, behind) }
      bytes.copyWithin(0, behind, length)
      length -= behind
      if (length > units * unitBytes) return undefined
    }
  }

  #join(left: { id: number; bytes: Int32Array }, right: { id: number; bytes: Int32Array }): boolean {
    const seam = this.#seam
    const length = left.bytes.length + right.bytes.length
    seam.reserve(length)
    seam.ids.set(left.bytes)
    seam.ids.set(right.bytes, left.bytes.length)
    return seam.run(length) === 2 && seam.ids[0] === left.id && seam.ids[1] === right.id
  }
}

/** An end at `to`, or one before it where that would part a surrogate pair. */
function wholeCharacters(text: string, from: number, to: number): number {
  const isParted = to - 1 > from && to < text.length && (text.codePointAt(to - 1) as number) > 0xffff
  return isParted ? to - 1 : to
}
