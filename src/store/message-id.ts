/** Makes the ids of messages and replies. */
import { randomUUID } from 'node:crypto'

/**
 * A UUID of version 7 (RFC 9562): milliseconds first, then random bits. Ids of one time are neighbours in their table's
 * index. Random ids (version 4) would each change another page of the index: a third of what a commit writes.
 */
export function messageId(): string {
  const time = Date.now().toString(16).padStart(12, '0')
  // The random part is taken from a UUID of version 4.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`
}
