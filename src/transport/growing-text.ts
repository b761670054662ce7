/** Text that is appended in small pieces, at little more than its own size. */
export class GrowingText {
  #whole = ''
  #recent = ''

  add(piece: string): void {
    this.#recent += piece
    if (this.#recent.length < 4_096) return
    // V8 keeps a string that grows by `+=` as a tree of its pieces; a look inside makes it one, and frees them.
    this.#recent.charCodeAt(0)
    this.#whole += this.#recent
    this.#recent = ''
  }

  get length(): number {
    return this.#whole.length + this.#recent.length
  }

  get text(): string {
    return this.#whole + this.#recent
  }
}
