/** A session as JSON Lines: a head with the version of the format, then one message a line, oldest first. */
import { randomUUID } from 'node:crypto'
import { ConvokeError } from '../errors.ts'
import type { AddedMessage, NewSession, SessionRecord, StoredMessage } from '../store/store.ts'

const format = 'convoke-session'
const version = 1

export function* exported(record: SessionRecord, messages: readonly StoredMessage[]): Generator<string> {
  yield `${JSON.stringify({ format, version, session: record })}\n`
  for (const message of messages) yield `${JSON.stringify(message)}\n`
}

/**
 * What such lines hold, under new ids.
 * @throws ConvokeError `invalid_request` for another format, a newer version or a broken line
 */
export async function imported(
  lines: string | Iterable<string> | AsyncIterable<string>,
): Promise<{ session: NewSession; messages: AddedMessage[] }> {
  let session: NewSession | undefined
  const messages: AddedMessage[] = []
  let number = 0
  for await (const line of split(typeof lines === 'string' ? [lines] : lines)) {
    number++
    if (line.trim() === '') continue
    const value = parsed(line, number)
    if (session) {
      messages.push(messageOf(value, number))
      continue
    }
    if (value['format'] !== format) throw bad(number, `is no head of a session ("format": "${format}")`)
    if (value['version'] !== version) {
      throw bad(number, `has version ${JSON.stringify(value['version'])}; this convoke reads ${version}`)
    }
    const { system, metadata } = (value['session'] ?? {}) as Partial<SessionRecord>
    session = {
      id: randomUUID(),
      ...(typeof system === 'string' ? { system } : {}),
      ...(metadata ? { metadata } : {}),
    }
  }
  if (!session) throw bad(1, 'is missing: the export is empty')
  return { session, messages }
}

async function* split(pieces: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest) yield rest
}

function parsed(line: string, number: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // Told below, without the parser's words, which quote the text.
  }
  throw bad(number, 'is not a JSON object')
}

function messageOf(value: Record<string, unknown>, number: number): AddedMessage {
  const { role, content } = value
  const isKnown = typeof role === 'string' && ['user', 'assistant', 'tool', 'summary'].includes(role)
  if (!isKnown || !Array.isArray(content)) throw bad(number, 'is no message (role and a list of content)')
  const message = value as unknown as StoredMessage
  // Whoever wrote it then does not write it here.
  const status = message.status === 'streaming' ? 'interrupted' : message.status
  return { ...message, status, id: randomUUID() }
}

function bad(number: number, what: string): ConvokeError {
  return new ConvokeError('invalid_request', `Line ${number} of the session ${what}.`)
}
