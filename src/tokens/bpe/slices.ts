/** Texts as the slices that go to threads, cut where the counts of both sides add up to that of the whole. */
import { sureEnd } from './pre-tokenizer.ts'

export class Slices {
  readonly #texts: readonly string[]
  readonly #units: number
  #index = 0
  #start = 0
  /** Up to here no place was found to cut the current text. */
  #seen = 0

  /** Slices of about `units` UTF-16 units; longer where a text has no place to cut, shorter where it ends. */
  constructor(texts: readonly string[], units: number) {
    this.#texts = texts.filter((text) => text !== '')
    this.#units = units
  }

  get isDone(): boolean {
    return this.#index >= this.#texts.length
  }

  /**
   * The next slice. `undefined` when so many units were looked over as a slice is long and none was a place to cut:
   * ask again, after others have had their turn.
   */
  next(): string | undefined {
    const text = this.#texts[this.#index] as string
    const from = Math.max(this.#seen, this.#start + this.#units)
    const to = Math.min(from + this.#units, text.length)
    const end = from < to ? sureEnd(text, from, to) : -1
    if (end < 0 && to < text.length) {
      this.#seen = to
      return undefined
    }
    const slice = text.slice(this.#start, end < 0 ? text.length : end)
    this.#start += slice.length
    if (this.#start === text.length) {
      this.#index++
      this.#start = 0
    }
    this.#seen = 0
    return slice
  }
}
