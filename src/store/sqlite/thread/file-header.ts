/**
 * Reads the header of a database as bytes. A SQLite connection would change the files: closing it moves the log into the
 * database. Formats: https://www.sqlite.org/fileformat2.html
 */
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'

export interface FileHeader {
  /** `application_id`: which program the database belongs to. */
  owner: number
  /** `user_version`: the number of the schema. */
  version: number
  /** The database has no tables. */
  isEmpty: boolean
}

const firstLine = 'SQLite format 3\0'
const headerBytes = 108
const logHeaderBytes = 32
const frameHeaderBytes = 24

/**
 * The header as of the last commit, from the log where that has the first page, otherwise from the file.
 * @param page the first bytes of the file
 * @param log the path of its log
 * @returns undefined when the file is not a database
 */
export function fileHeader(page: Buffer, log: string): FileHeader | undefined {
  if (page.length < headerBytes || !isFirstPage(page)) return undefined
  const newest = firstPageInLog(log) ?? page
  // The schema has tables when its root is an inner page (0x05), or a leaf with cells.
  const isEmpty = newest[100] !== 0x05 && newest.readUInt16BE(103) === 0
  return { owner: newest.readInt32BE(68), version: newest.readInt32BE(60), isEmpty }
}

function isFirstPage(page: Buffer): boolean {
  return page.toString('latin1', 0, firstLine.length) === firstLine
}

/** Frames of earlier rounds of the log have other salts. Checksums are not verified: SQLite does so when it opens the file. */
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
    // Another process may have restarted the log meanwhile. Another page is there then, and the file has the first page.
    return page && isFirstPage(page) ? page : undefined
  } finally {
    closeSync(file)
  }
}

/**
 * The first bytes of a file that SQLite has open in this process, read through SQLite's own file descriptor. Opening and
 * closing the file once more would drop all locks that this process has on it (POSIX). Other processes would then delete
 * the log while connections of this process use it, and what these write from there on would be lost.
 * Source: https://www.sqlite.org/howtocorrupt.html, 2.2
 * @returns undefined where the system does not list a process's open files
 */
export function firstBytes(path: string): Buffer | undefined {
  if (process.platform === 'win32') return bytesOf(path)
  const { dev, ino } = statSync(path, { bigint: true })
  for (const file of openFiles()) {
    try {
      const isSameFile = () => {
        const found = fstatSync(file, { bigint: true })
        return found.ino === ino && found.dev === dev
      }
      if (!isSameFile()) continue
      const bytes = readUpTo(file, headerBytes)
      // Checked again: another thread may have closed the file meanwhile, and its descriptor may be another file's now.
      if (isSameFile()) return bytes
    } catch {
      // The file was closed meanwhile, or is not open for reading.
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
