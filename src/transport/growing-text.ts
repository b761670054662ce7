/**
 * Text that is appended in small pieces, at little more than its own size: V8 keeps a string that grows by `+=` as a
 * tree of its pieces, thirty bytes for each.
 */
export class GrowingText {
  #whole = ''
  #recent: string[] = []
  #length = 0

  add(piece: string): void {
    this.#length += piece.length
    if (this.#recent.push(piece) >= maxPieces) this.#join()
  }

  get length(): number {
    return this.#length
  }

  get text(): string {
    if (this.#recent.length > 0) this.#join()
    return this.#whole
  }

  #join(): void {
    this.#whole += this.#recent.join('')
    this.#recent = []
  }
}

const maxPieces = 1_024
