/**
 * Byte pair encoding of one pre-token: merges the two neighbours whose token has the lowest rank, the leftmost pair of
 * equal ones first, until no neighbours can merge. In a short pre-token a walk finds that pair; in a long one a heap
 * does, because a walk for each merge is quadratic: other tokenizers on npm take minutes for a megabyte of one letter.
 *
 * Room `tokens/bpe`: OpenAI's tokenizer. Imported by `providers/cohere`, `tokens`, `workers`.
 */
import { none } from './merge-table.ts'
import type { MergeTable } from './merge-table.ts'

/** The number of bytes from which on the heap is faster than the walk. */
const heapFrom = 100
/** The bytes for which memory stays allocated. Longer pre-tokens allocate their own, and `release` frees it. */
const keptLength = 4_096

export class BpeMerge {
  /** The tokens: at first those of the single bytes, then those that they merged to. */
  ids = new Int32Array(keptLength)
  #ranks = new Int32Array(keptLength)
  #next = new Int32Array(keptLength)
  #previous = new Int32Array(keptLength)
  readonly #table: MergeTable

  constructor(table: MergeTable) {
    this.#table = table
  }

  /** After `runLong`: for each token, the index of the byte after its last one. Shares its memory with the ranks. */
  get ends(): Int32Array {
    return this.#ranks
  }

  /** Makes room for a pre-token of so many bytes. Call `release` afterwards. */
  reserve(length: number): void {
    if (length > this.ids.length) this.#allocate(length)
  }

  release(): void {
    if (this.ids.length > keptLength) this.#allocate(keptLength)
  }

  #allocate(length: number): void {
    this.ids = new Int32Array(length)
    this.#ranks = new Int32Array(length)
    this.#next = new Int32Array(length)
    this.#previous = new Int32Array(length)
  }

  /** Merges the first `length` tokens of `ids` in place, and returns how many are left. */
  run(length: number): number {
    return length < heapFrom ? this.#walk(length) : this.runLong(length)
  }

  #walk(length: number): number {
    const { ids } = this
    const ranks = this.#ranks
    const table = this.#table
    let last = length - 1
    for (let at = 0; at < last; at++) ranks[at] = table.find(ids[at] as number, ids[at + 1] as number)
    for (;;) {
      let lowest = none
      let at = 0
      for (let other = 0; other < last; other++) {
        const rank = ranks[other] as number
        if (rank < lowest) {
          lowest = rank
          at = other
        }
      }
      if (lowest === none) return last + 1
      ids[at] = lowest
      for (let other = at + 1; other < last; other++) {
        ids[other] = ids[other + 1] as number
        ranks[other] = ranks[other + 1] as number
      }
      last--
      if (at > 0) ranks[at - 1] = table.find(ids[at - 1] as number, lowest)
      if (at < last) ranks[at] = table.find(lowest, ids[at + 1] as number)
    }
  }

  /**
   * Like `run`, and fills `ends`. It goes rank by rank: a token's rank is higher than the ranks of its parts, so a
   * merge creates only pairs of higher ranks than its own. When a rank is reached, all its positions are therefore
   * known.
   */
  runLong(length: number): number {
    const { ids } = this
    const ranks = this.#ranks
    const table = this.#table
    const next = this.#next
    const previous = this.#previous
    const queue = new RankQueue()
    const rate = (at: number) => {
      const right = next[at] as number
      const rank = right < length ? table.find(ids[at] as number, ids[right] as number) : none
      ranks[at] = rank
      if (rank !== none) queue.add(rank, at)
    }
    for (let at = 0; at < length; at++) {
      next[at] = at + 1
      previous[at] = at - 1
    }
    for (let at = 0; at < length; at++) rate(at)
    let count = length
    for (let rank = queue.next(); rank !== none; rank = queue.next()) {
      for (const at of queue.take(rank)) {
        // A neighbour has merged in the meantime.
        if (ranks[at] !== rank) continue
        const gone = next[at] as number
        const behind = next[gone] as number
        ids[at] = rank
        ranks[gone] = none
        next[at] = behind
        if (behind < length) previous[behind] = at
        count--
        rate(at)
        const before = previous[at] as number
        if (before >= 0) rate(before)
      }
    }
    for (let at = 0, to = 0; at < length; to++) {
      ids[to] = ids[at] as number
      at = next[at] as number
      this.ends[to] = at
    }
    return count
  }
}

/** The positions of every rank that can still merge, and a heap of these ranks, lowest first. */
class RankQueue {
  readonly #positions = new Map<number, number[]>()
  readonly #heap: number[] = []

  add(rank: number, at: number): void {
    const positions = this.#positions.get(rank)
    if (!positions) {
      this.#positions.set(rank, [at])
      this.#push(rank)
      return
    }
    positions.push(at)
  }

  /** Removes the lowest rank from the heap; `none` when the heap is empty. */
  next(): number {
    const heap = this.#heap
    const lowest = heap[0]
    if (lowest === undefined) return none
    const moved = heap.pop() as number
    if (heap.length > 0) this.#sink(moved)
    return lowest
  }

  /**
   * Removes the positions of a rank. Positions that overlap are in order from left to right: they all have the same two
   * tokens, so they overlap only in a run of one token, and such a run is created from left to right.
   */
  take(rank: number): readonly number[] {
    const positions = this.#positions.get(rank) ?? []
    this.#positions.delete(rank)
    return positions
  }

  #push(rank: number): void {
    const heap = this.#heap
    let at = heap.push(rank) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as number
      if (above <= rank) break
      heap[at] = above
      at = parent
    }
    heap[at] = rank
  }

  #sink(rank: number): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++
      const below = heap[child] as number
      if (below >= rank) break
      heap[at] = below
      at = child
    }
    heap[at] = rank
  }
}
