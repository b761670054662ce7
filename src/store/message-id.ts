/** Ids of messages. */
import { randomUUID } from 'node:crypto'

/**
 * A UUID of version 7 (RFC 9562): milliseconds first, then chance. Ids of one time are neighbours in the index of their
 * table, where those of version 4 each bring a page of it into the log: a third of what a commit writes.
 */
export function messageId(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  // The random part of version 4, behind its own version digit.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`
}
