/** A session as JSON Lines: a head with the version of the format, then one message a line, oldest first. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConvokeError, messageOf } from '../errors.ts'
import { messageId } from '../store/message-id.ts'
import type { AddedMessage, NewSession, SessionRecord, StoredMessage } from '../store/store.ts'
import { storedLine } from './check-export-line.ts'

const format = 'convoke-session'
const version = 1

/** Characters written or read in one go: some 2 ms. */
const unitsAtOnce = 65_536

export function* exported(record: SessionRecord, messages: readonly StoredMessage[]): Generator<string> {
  yield `${JSON.stringify({ format, version, session: record })}\n`
  for (const message of messages) yield `${JSON.stringify(message)}\n`
}

/** The event loop goes round between them, also where nobody waits for anything else. */
export async function* inTurns(lines: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let units = 0
  for await (const line of lines) {
    units += line.length
    if (units >= unitsAtOnce) {
      units = 0
      await nextTurn()
    }
    yield line
  }
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
  for await (const line of inTurns(split(typeof lines === 'string' ? [lines] : lines))) {
    number++
    if (line.trim() === '') continue
    const value = parsed(line, number)
    if (session) {
      messages.push(addedMessageOf(value, number))
      continue
    }
    if (value['format'] !== format) throw bad(number, `is no head of a session ("format": "${format}")`)
    if (value['version'] !== version) {
      throw bad(number, `has version ${JSON.stringify(value['version'])}; this convoke reads ${version}`)
    }
    session = sessionOf(value['session'] ?? {}, number)
  }
  if (!session) throw bad(1, 'is missing: the export is empty')
  return { session, messages }
}

/** Pieces of a line are gathered until it ends: to look through what has come so far with each is quadratic. */
async function* split(pieces: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let gathered: string[] = []
  for await (const piece of pieces) {
    if (typeof piece !== 'string') {
      const remedy = "Read the file as text: createReadStream(path, 'utf8')."
      throw new ConvokeError('invalid_request', `The session to import comes as ${typeof piece}. ${remedy}`)
    }
    let from = 0
    // One line at a time: the whole of an export may come as one piece.
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      gathered.push(piece.slice(from, end))
      yield gathered.join('')
      gathered = []
      from = end + 1
    }
    gathered.push(piece.slice(from))
  }
  yield gathered.join('')
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

function sessionOf(value: unknown, number: number): NewSession {
  const { system, metadata } = value as Record<string, unknown>
  if (system !== undefined && typeof system !== 'string') throw bad(number, 'has a system that is no text')
  const isObject = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
  if (metadata !== undefined && !isObject) throw bad(number, 'has metadata that are no object')
  return {
    id: messageId(),
    ...(system === undefined ? {} : { system }),
    ...(isObject ? { metadata: metadata as Record<string, unknown> } : {}),
  }
}

function addedMessageOf(value: Record<string, unknown>, number: number): AddedMessage {
  try {
    const message = storedLine(value)
    // Whoever wrote it then does not write it here.
    const status = message.status === 'streaming' ? 'interrupted' : (message.status ?? 'complete')
    return { ...message, status, id: messageId() }
  } catch (error) {
    const reason = messageOf(error)
    throw bad(number, `is no message: ${reason.replace(/\.$/, '')}`)
  }
}

function bad(number: number, what: string): ConvokeError {
  return new ConvokeError('invalid_request', `Line ${number} of the session ${what}.`)
}
