/** Sessions as JSON Lines: the first line has the session and the format's version, each further line one message. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConvokeError, messageOf } from '../errors.ts'
import { messageId } from '../store/message-id.ts'
import type { AddedMessage, NewSession, SessionRecord, StoredMessage } from '../store/store.ts'
import { checkExportLine } from './check-export-line.ts'

const format = 'convoke-session'
const version = 1

/** Characters written or read before the event loop gets its turn: some 2 ms. */
const unitsAtOnce = 65_536

/** The lines of a session, each with its line break; messages oldest first. */
export function* exportLines(record: SessionRecord, messages: readonly StoredMessage[]): Generator<string> {
  yield `${JSON.stringify({ format, version, session: record })}\n`
  for (const message of messages) yield `${JSON.stringify(message)}\n`
}

/** The same lines, with a turn of the event loop after each 65,536 characters, so that a long export blocks nothing. */
export async function* yieldingToEventLoop(
  lines: Iterable<string> | AsyncIterable<string>,
): AsyncGenerator<string> {
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
 * The session and the messages of an export, under new ids.
 * @param lines an export as one text, or in pieces of any size
 * @throws ConvokeError `invalid_request` when the format or its version is unknown, or a line is broken
 */
export async function parseExportLines(
  lines: string | Iterable<string> | AsyncIterable<string>,
): Promise<{ session: NewSession; messages: AddedMessage[] }> {
  let session: NewSession | undefined
  const messages: AddedMessage[] = []
  let number = 0
  for await (const line of yieldingToEventLoop(split(typeof lines === 'string' ? [lines] : lines))) {
    number++
    if (line.trim() === '') continue
    const value = parsed(line, number)
    if (session) {
      messages.push(addedMessageOf(value, number))
      continue
    }
    if (value['format'] !== format) throw bad(number, `does not begin an export ("format": "${format}")`)
    if (value['version'] !== version) {
      throw bad(number, `has version ${JSON.stringify(value['version'])}; this convoke reads ${version}`)
    }
    session = sessionOf(value['session'] ?? {}, number)
  }
  if (!session) throw bad(1, 'is missing: the export is empty')
  return { session, messages }
}

/** Pieces are gathered until their line ends. To search all text so far with each new piece would be quadratic. */
async function* split(pieces: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let gathered: string[] = []
  for await (const piece of pieces) {
    if (typeof piece !== 'string') {
      const remedy = "Read the file as text: createReadStream(path, 'utf8')."
      throw new ConvokeError(
        'invalid_request',
        `The session to import comes as ${typeof piece}, not as text. ${remedy}`,
      )
    }
    let from = 0
    // Lines are found one by one, since a whole export may come as one piece.
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
    // The parser's own message is left out: it quotes the conversation.
  }
  throw bad(number, 'is not a JSON object')
}

function sessionOf(value: unknown, number: number): NewSession {
  const { system, metadata } = value as Record<string, unknown>
  if (system !== undefined && typeof system !== 'string')
    throw bad(number, 'has a system prompt that is not a text')
  const isObject = typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
  if (metadata !== undefined && !isObject) throw bad(number, 'has metadata that is not an object')
  return {
    id: messageId(),
    ...(system === undefined ? {} : { system }),
    ...(isObject ? { metadata: metadata as Record<string, unknown> } : {}),
  }
}

function addedMessageOf(value: Record<string, unknown>, number: number): AddedMessage {
  try {
    const message = checkExportLine(value)
    // The process that was writing this reply does not write to this copy.
    const status = message.status === 'streaming' ? 'interrupted' : (message.status ?? 'complete')
    return { ...message, status, id: messageId() }
  } catch (error) {
    const reason = messageOf(error)
    throw bad(number, `is not a message: ${reason.replace(/\.$/, '')}`)
  }
}

function bad(number: number, what: string): ConvokeError {
  return new ConvokeError('invalid_request', `Line ${number} of the session ${what}.`)
}
