/**
 * A hash table in shared memory, so that all threads read the same one. It maps a pair of tokens to the token that they
 * merge to, whose id is also the rank of the merge: lower ranks merge first.
 */

/** The result of `find` for two tokens that do not merge. It is higher than every id, so a minimum never selects it. */
export const none = 0x7fffffff

/** A slot holds three integers: the left token, the right token, and the token that they merge to. */
const slotInts = 3
/** The header before the slots: the base-2 logarithm of their number, then the tokens of the 256 single bytes. */
const headInts = 257
const bytesAt = 1

export class MergeTable {
  readonly memory: SharedArrayBuffer
  readonly #table: Int32Array
  readonly #mask: number

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory
    this.#table = new Int32Array(memory)
    this.#mask = (1 << (this.#table[0] ?? 0)) - 1
  }

  /** Makes an empty table with room for so many pairs. A third to two thirds of its slots stay free. */
  static empty(pairs: number): MergeTable {
    const bits = Math.ceil(Math.log2(pairs * 1.5))
    const memory = new SharedArrayBuffer((headInts + slotInts * 2 ** bits) * Int32Array.BYTES_PER_ELEMENT)
    const table = new Int32Array(memory)
    // -1 marks a free slot, because no token has this id.
    table.fill(-1, headInts)
    table[0] = bits
    return new MergeTable(memory)
  }

  /** The token of a single byte. */
  ofByte(byte: number): number {
    return this.#table[bytesAt + byte] as number
  }

  /** Sets the token of a single byte. */
  setByte(byte: number, id: number): void {
    this.#table[bytesAt + byte] = id
  }

  /**
   * Encodes `text` from `start` to `end` as UTF-8, and writes the token of each byte into `into`, from the index `at`
   * on. Returns the index after the last one.
   */
  writeBytes(text: string, start: number, end: number, into: Int32Array, at = 0): number {
    const table = this.#table
    let length = at
    for (let index = start; index < end; index++) {
      let code = text.charCodeAt(index)
      if (code < 0x80) {
        into[length++] = table[bytesAt + code] as number
        continue
      }
      if (code < 0x800) {
        into[length++] = table[bytesAt + (0xc0 | (code >> 6))] as number
      } else {
        if ((code & 0xf800) === 0xd800) {
          const whole = text.codePointAt(index) as number
          // Half of a surrogate pair has no UTF-8 bytes. U+FFFD replaces it, as in every encoder.
          code = whole > 0xffff ? whole : 0xfffd
        }
        if (code > 0xffff) {
          index++
          into[length++] = table[bytesAt + (0xf0 | (code >> 18))] as number
          into[length++] = table[bytesAt + (0x80 | ((code >> 12) & 0x3f))] as number
        } else {
          into[length++] = table[bytesAt + (0xe0 | (code >> 12))] as number
        }
        into[length++] = table[bytesAt + (0x80 | ((code >> 6) & 0x3f))] as number
      }
      into[length++] = table[bytesAt + (0x80 | (code & 0x3f))] as number
    }
    return length
  }

  /** The token that two neighbours merge to, or `none`. */
  find(left: number, right: number): number {
    const table = this.#table
    let slot = hash(left, right) & this.#mask
    for (;;) {
      const at = headInts + slot * slotInts
      const found = table[at] as number
      if (found === left && table[at + 1] === right) return table[at + 2] as number
      if (found === -1) return none
      slot = (slot + 1) & this.#mask
    }
  }

  /** Adds a pair that is not in the table yet. */
  add(left: number, right: number, id: number): void {
    const table = this.#table
    let slot = hash(left, right) & this.#mask
    while (table[headInts + slot * slotInts] !== -1) slot = (slot + 1) & this.#mask
    table.set([left, right, id], headInts + slot * slotInts)
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}
