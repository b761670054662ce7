/** Remembers the last requests, within limits of number and size. */
import { createHash } from 'node:crypto'
import type { RequestRecord } from './types.ts'

const MAX_RECORDS = 10_000
const MAX_BODY_BYTES = 256 * 1024 * 1024

export class RequestLog {
  readonly records: RequestRecord[] = []
  #bodyBytes: number[] = []
  #totalBytes = 0
  #count = 0
  #attempts = new Map<string, number>()

  /** The number of the next request, and how often its body came to its path, this time included. */
  next(method: string, path: string, body: string): { number: number; attempt: number } {
    const key = createHash('sha1').update(`${method} ${path}\n`).update(body).digest('base64')
    const attempt = (this.#attempts.get(key) ?? 0) + 1
    // Deleted and set again, so that the key becomes the newest and the map drops bodies that no longer come.
    this.#attempts.delete(key)
    this.#attempts.set(key, attempt)
    if (this.#attempts.size > MAX_RECORDS) this.#attempts.delete(this.#attempts.keys().next().value ?? '')
    return { number: ++this.#count, attempt }
  }

  add(record: RequestRecord, bodyBytes: number): void {
    this.records.push(record)
    this.#bodyBytes.push(bodyBytes)
    this.#totalBytes += bodyBytes
    while (
      this.records.length > MAX_RECORDS ||
      (this.#totalBytes > MAX_BODY_BYTES && this.records.length > 1)
    ) {
      this.records.shift()
      this.#totalBytes -= this.#bodyBytes.shift() ?? 0
    }
  }

  clear(): void {
    this.records.length = 0
    this.#bodyBytes = []
    this.#totalBytes = 0
    this.#count = 0
    this.#attempts.clear()
  }
}
