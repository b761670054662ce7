/**
 * What merges with what: a hash of pairs of tokens in shared memory, so that any number of threads read one table.
 * Of a pair it knows the token that it becomes, whose id is its rank: the lower merges first.
 */

/** What `find` gives for two tokens that do not merge; above every id, so that a minimum passes it over. */
export const none = 0x7fffffff

/** Each slot holds left, right, and what they become. */
const slotInts = 3
/** In front of the slots: their number as a power of two, then the tokens of the single bytes. */
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

  /** An empty table with room for so many pairs: half of it stays free, or a third. */
  static empty(pairs: number): MergeTable {
    const bits = Math.ceil(Math.log2(pairs * 1.5))
    const memory = new SharedArrayBuffer((headInts + slotInts * 2 ** bits) * Int32Array.BYTES_PER_ELEMENT)
    const table = new Int32Array(memory)
    // No token has the id -1: it marks a free slot.
    table.fill(-1, headInts)
    table[0] = bits
    return new MergeTable(memory)
  }

  /** The token of a single byte. */
  ofByte(byte: number): number {
    return this.#table[bytesAt + byte] as number
  }

  setByte(byte: number, id: number): void {
    this.#table[bytesAt + byte] = id
  }

  /**
   * Writes the tokens of the single bytes of `text` from `start` to `end` into a table, from `at` on, and gives where
   * they end.
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
          // Half a pair has no bytes of its own; U+FFFD stands for it, as in every encoder.
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
