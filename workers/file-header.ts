/**
 * The header of a database, read as bytes: a connection would change the files by its closing, which moves the log into
 * the database. Formats: https://www.sqlite.org/fileformat2.html
 */
import { closeSync, openSync, readSync } from 'node:fs'

export interface FileHeader {
  /** `application_id`. */
  owner: number
  /** `user_version`. */
  version: number
  isEmpty: boolean
}

const firstLine = 'SQLite format 3\0'
const headerBytes = 108
const logHeaderBytes = 32
const frameHeaderBytes = 24

/** What the last commit left, be it in the file or in its log. Undefined for what is no database. */
export function fileHeader(path: string, log: string): FileHeader | undefined {
  const page = bytesAt(path, 0, headerBytes)
  if (page?.toString('latin1', 0, firstLine.length) !== firstLine) return undefined
  const newest = firstPageInLog(log) ?? page
  // An inner page of the schema's tree, or a leaf with cells.
  const isEmpty = newest[100] !== 0x05 && newest.readUInt16BE(103) === 0
  return { owner: newest.readInt32BE(68), version: newest.readInt32BE(60), isEmpty }
}

/** Frames of older rounds have other salts. Check sums are left to SQLite, which looks again. */
function firstPageInLog(log: string): Buffer | undefined {
  const file = tryOpen(log)
  if (file === undefined) return undefined
  try {
    const header = readAt(file, 0, logHeaderBytes)
    if (header === undefined) return undefined
    const pageBytes = header.readUInt32BE(8)
    const salts = header.subarray(16, 24)
    let committed: number | undefined
    let latest: number | undefined
    for (let at = logHeaderBytes; ; at += frameHeaderBytes + pageBytes) {
      const frame = readAt(file, at, frameHeaderBytes)
      if (frame === undefined || !frame.subarray(8, 16).equals(salts)) break
      if (frame.readUInt32BE(0) === 1) latest = at + frameHeaderBytes
      if (frame.readUInt32BE(4) !== 0) committed = latest
    }
    return committed === undefined ? undefined : readAt(file, committed, headerBytes)
  } finally {
    closeSync(file)
  }
}

function bytesAt(path: string, at: number, length: number): Buffer | undefined {
  const file = openSync(path, 'r')
  try {
    return readAt(file, at, length)
  } finally {
    closeSync(file)
  }
}

function readAt(file: number, at: number, length: number): Buffer | undefined {
  const bytes = Buffer.alloc(length)
  return readSync(file, bytes, 0, length, at) === length ? bytes : undefined
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
