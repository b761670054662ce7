/**
 * Builds merge tables from the files that gpt-tokenizer ships. A file has a line for each token: its bytes in base64,
 * its id.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ConvokeError } from '../../errors.ts'
import type { Encoding } from './encodings.ts'
import { BpeMerge } from './bpe-merge.ts'
import { MergeTable } from './merge-table.ts'

/**
 * Builds the merge table of a vocabulary. This takes 30 to 90 ms of computing, so it should run in a worker.
 *
 * Only one pair merges to a given token: the last two parts that the token's own bytes merge to, because the
 * surroundings of a place do not change the order of the merges in it. The pair of each token is therefore found by
 * merging its bytes with the pairs of all lower ranks.
 *
 * @throws ConvokeError `missing_dependency` when the file is missing, or is not a vocabulary
 */
export function loadMergeTable(encoding: Encoding): MergeTable {
  const { data, lines } = read(encoding)
  const table = MergeTable.empty(lines)
  const merge = new BpeMerge(table)
  const { ids } = merge
  let at = 0
  for (let id = 0; id < lines; id++) {
    const length = decodeBase64(data, at, ids)
    at = data.indexOf(newline, at) + 1
    if (length === 1) {
      table.setByte(ids[0] as number, id)
      continue
    }
    for (let index = 0; index < length; index++) ids[index] = table.ofByte(ids[index] as number)
    // True for every token of these vocabularies. A token without such a pair could never be the result of a merge.
    if (merge.run(length) === 2) table.add(ids[0] as number, ids[1] as number, id)
  }
  return table
}

/**
 * Writes the bytes of a line into `into`, and returns their number. A call of Buffer's own decoder would cost more than
 * decoding the few characters of a line here.
 */
function decodeBase64(data: Uint8Array, from: number, into: Int32Array): number {
  let length = 0
  let bits = 0
  let gathered = 0
  for (let at = from; ; at++) {
    const digit = digits[data[at] as number] as number
    if (digit < 0) return length
    gathered = (gathered << 6) | digit
    bits += 6
    if (bits < 8) continue
    bits -= 8
    into[length++] = (gathered >> bits) & 0xff
  }
}

/** The value of a character in base64; -1 for other characters, which end the text. */
const digits = new Int8Array(256).fill(-1)
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
for (let digit = 0; digit < 64; digit++) digits[alphabet.charCodeAt(digit)] = digit

const blank = 0x20
const newline = 0x0a

/** Reads the file. Its ids count up from 0, one per line, so the last line tells their number. */
function read(encoding: Encoding): { data: Buffer; lines: number } {
  const name = `gpt-tokenizer/data/${encoding}.tiktoken`
  try {
    const data = readFileSync(fileURLToPath(import.meta.resolve(name)))
    const last = data.lastIndexOf(blank)
    return { data, lines: Number(data.toString('latin1', last + 1)) + 1 }
  } catch (cause) {
    const message = `The vocabulary ${name} cannot be read. Run: npm install gpt-tokenizer`
    throw new ConvokeError('missing_dependency', message, { cause })
  }
}
