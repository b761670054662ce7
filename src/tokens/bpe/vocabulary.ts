/** The pairs of a vocabulary, from the file that gpt-tokenizer ships: a line for each token, its bytes in base64. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ConvokeError } from '../../errors.ts'
import type { Encoding } from './encodings.ts'
import { BpeMerge } from './bpe-merge.ts'
import { MergeTable } from './merge-table.ts'

/**
 * Builds the table: 30 to 90 ms of computing, so it belongs into a worker.
 *
 * A token comes about by one pair alone, the last two parts that its own bytes merge to: what stands around a place has
 * no say in the order of the merges within. So each token, in the order of the ranks, is merged by the pairs before it.
 *
 * @throws ConvokeError `missing_dependency` when the file is not there, or is none of these
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
    // Every token of these vocabularies is reached; one that were not would never come out of a merge anyway.
    if (merge.run(length) === 2) table.add(ids[0] as number, ids[1] as number, id)
  }
  return table
}

/** Writes the bytes into `into` and gives their number. Buffer's own decoder costs more to call than the line takes. */
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

/** What a character stands for in base64; -1 for what ends a text of it. */
const digits = new Int8Array(256).fill(-1)
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
for (let digit = 0; digit < 64; digit++) digits[alphabet.charCodeAt(digit)] = digit

const blank = 0x20
const newline = 0x0a

/** Ids count up from 0 by the line. */
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
