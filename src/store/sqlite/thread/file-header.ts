/**
 * The header of a database, read as bytes: a connection that reads changes the files by its closing, which moves the log
 * into the database. Formats: https://www.sqlite.org/fileformat2.html
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'

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

/** What the last commit left, be it in the file, by its first bytes, or in its log. Undefined for what is no database. */
export function fileHeader(page: Buffer, log: string): FileHeader | undefined {
  if (page.length < headerBytes || !isFirstPage(page)) return undefined
  const newest = firstPageInLog(log) ?? page
  // An inner page of the schema's tree, or a leaf with cells.
  const isEmpty = newest[100] !== 0x05 && newest.readUInt16BE(103) === 0
  return { owner: newest.readInt32BE(68), version: newest.readInt32BE(60), isEmpty }
}

function isFirstPage(page: Buffer): boolean {
  return page.toString('latin1', 0, firstLine.length) === firstLine
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
    const page = committed === undefined ? undefined : readAt(file, committed, headerBytes)
    // Another process may have begun the log anew meanwhile: another page stands there, and the file has the first one.
    return page && isFirstPage(page) ? page : undefined
  } finally {
    closeSync(file)
  }
}

/**
 * The first bytes of a file that SQLite has open here, by what it has opened. Whoever closes a file takes the locks of his
 * whole process from it (POSIX): other processes would then delete the log under the other connections of this one, and
 * with it what they write from there on. Undefined where the system does not list what a process has open.
 * Source: https://www.sqlite.org/howtocorrupt.html, 2.2
 */
export function firstBytes(path: string): Buffer | undefined {
  if (process.platform === 'win32') return bytesOf(path)
  const { dev, ino } = statSync(path, { bigint: true })
  for (const file of openFiles()) {
    try {
      const isOf = () => {
        const found = fstatSync(file, { bigint: true })
        return found.ino === ino && found.dev === dev
      }
      if (!isOf()) continue
      const bytes = readUpTo(file, headerBytes)
      // Asked again: another thread may have closed it, and its number be another file's by now.
      if (isOf()) return bytes
    } catch {
      // Closed meanwhile, or not for reading.
    }
  }
  return undefined
}

function openFiles(): number[] {
  try {
    return readdirSync('/dev/fd').map(Number)
  } catch {
    return []
  }
}

function bytesOf(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    return readUpTo(file, headerBytes)
  } finally {
    closeSync(file)
  }
}

function readUpTo(file: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(file, bytes, 0, length, 0))
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
