/** Cuts texts into slices for threads, only where the counts of both sides add up to that of the whole. */
import { findSafeCut } from './pre-tokenizer.ts'

export class Slices {
  readonly #texts: readonly string[]
  readonly #units: number
  /** The index of the current text. */
  #index = 0
  /** Where the next slice of the current text begins. */
  #start = 0
  /** Up to here the current text was searched without finding a place to cut. */
  #searchedTo = 0

  /** @param units the UTF-16 units of a slice; it is longer where no place to cut is found, shorter at a text's end */
  constructor(texts: readonly string[], units: number) {
    this.#texts = texts.filter((text) => text !== '')
    this.#units = units
  }

  get isDone(): boolean {
    return this.#index >= this.#texts.length
  }

  /**
   * The next slice. Undefined when a slice's length of text was searched without finding a place to cut: call again to
   * search on, after other work had its chance.
   */
  next(): string | undefined {
    const text = this.#texts[this.#index] as string
    const from = Math.max(this.#searchedTo, this.#start + this.#units)
    const to = Math.min(from + this.#units, text.length)
    const end = from < to ? findSafeCut(text, from, to) : -1
    if (end < 0 && to < text.length) {
      this.#searchedTo = to
      return undefined
    }
    const slice = text.slice(this.#start, end < 0 ? text.length : end)
    this.#start += slice.length
    if (this.#start === text.length) {
      this.#index++
      this.#start = 0
    }
    this.#searchedTo = 0
    return slice
  }
}
