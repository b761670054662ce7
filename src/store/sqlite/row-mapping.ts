/**
 * Maps messages and sessions to rows, and rows back. Content becomes JSON on the calling thread: strings cross to another
 * thread at a tenth of the cost of objects, and a value that cannot be stored fails its own write only.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ConvokeError, messageOf } from '../../errors.ts'
import type {
  AddedMessageRow,
  AddedRow,
  MessageRow,
  NewMessageRow,
  NewSessionRow,
  ReplyRow,
  RowSlice,
  SessionRow,
} from './protocol.ts'
import type {
  AddedMessage,
  NewMessage,
  NewSession,
  ReplyFields,
  SessionRecord,
  StoredContent,
  StoredMessage,
} from '../store.ts'

/** Most characters of an id. It is stored in every row and in the index. */
const maxIdLength = 512

/** @throws ConvokeError `store_failed` for an empty, too long or malformed id */
export function checkId(id: unknown, what: string): string {
  if (typeof id !== 'string' || id === '' || id.length > maxIdLength || !id.isWellFormed()) {
    const remedy = `Use a well-formed string of 1 to ${maxIdLength} characters.`
    throw new ConvokeError('store_failed', `The id of a ${what} cannot be used. ${remedy}`)
  }
  return id
}

/** @throws ConvokeError `store_failed` for a value that is not a string */
export function checkText(value: unknown, what: string): string {
  if (typeof value === 'string') return value
  throw new ConvokeError('store_failed', `The ${what} is a ${typeof value}. Give a string.`)
}

/**
 * JSON with U+FFFD in place of lone surrogates, which UTF-8 cannot hold. `JSON.stringify` writes lone surrogates, and only
 * them, as escapes `\ud800` to `\udfff`. The second half of the pattern steps over a backslash that is itself escaped.
 * @throws ConvokeError `store_failed` for a value that JSON cannot hold
 */
export function toJson(value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined
    if (text === undefined) throw new TypeError('The value is undefined or a function')
    if (!text.includes('\\ud')) return text
    return text.replaceAll(/\\(ud[89a-f][0-9a-f]{2}|[^])/g, (whole, escape: string) =>
      escape.length > 1 ? '\uFFFD' : whole,
    )
  } catch (cause) {
    const reason = messageOf(cause)
    const message = `A message cannot be stored: ${reason}. Store only what JSON can hold: no functions, no BigInt, no value that contains itself.`
    throw new ConvokeError('store_failed', message, { cause })
  }
}

/** The text of a message, for search and for readers of the file: texts, tool results and names of files. */
export function messageText(content: StoredContent['content']): string {
  const texts: string[] = []
  let isContinued = false
  for (const part of content) {
    const text = partText(part)
    if (text === '') continue
    // Vendors cut a text into parts anywhere, also within a word, so neighbours are joined without a line break.
    if (isContinued && part.type === 'text' && texts.length > 0) texts.push(texts.pop() + text)
    else texts.push(text)
    isContinued = part.type === 'text'
  }
  return texts.join('\n').toWellFormed()
}

function partText(part: StoredContent['content'][number]): string {
  switch (part.type) {
    case 'text':
      return part.text
    case 'tool-result':
      return typeof part.result === 'string' ? part.result : (JSON.stringify(part.result) ?? '')
    case 'file':
      return part.name ?? ''
    default:
      return ''
  }
}

export function toMessageRow({ id, role, content }: NewMessage): NewMessageRow {
  const json = toJson(content.map(withoutBytes))
  return { id: checkId(id, 'message'), role, content: json, text: messageText(content) }
}

export function toAddedRows(messages: readonly AddedMessage[]): AddedMessageRow[] {
  return [...addedRows(messages)]
}

function* addedRows(messages: readonly AddedMessage[]): Generator<AddedMessageRow> {
  let turn = 0
  for (const [at, message] of messages.entries()) {
    if (at > 0 && message.turn !== messages[at - 1]?.turn) turn++
    yield {
      ...toMessageRow(message),
      status: message.status ?? 'complete',
      turn,
      reply: toReplyRow(message),
    }
  }
}

/** Characters of rows made before the event loop gets its turn: some 5 ms. */
const unitsAtOnce = 131_072

/**
 * Rows for one write of any number of messages. The event loop gets its turns while they are made, and only has to pass on
 * bytes.
 */
export async function toRowSlices(messages: readonly AddedMessage[]): Promise<RowSlice[]> {
  const slices: RowSlice[] = []
  let rows: AddedMessageRow[] = []
  let units = 0
  for (const row of addedRows(messages)) {
    rows.push(row)
    units += row.content.length + row.text.length + 200
    if (units < unitsAtOnce) continue
    slices.push(toSlice(rows))
    rows = []
    units = 0
    await nextTurn()
  }
  if (rows.length > 0) slices.push(toSlice(rows))
  return slices
}

/** Shared memory, which is not copied, and stays valid when the thread dies and the write is sent again. */
function toSlice(rows: readonly AddedMessageRow[]): RowSlice {
  const json = JSON.stringify(rows)
  const slice = Buffer.from(new SharedArrayBuffer(Buffer.byteLength(json)))
  slice.write(json)
  return new Uint8Array(slice.buffer)
}

/** Bytes as base64: JSON would write each byte as a property. */
function withoutBytes(part: StoredContent['content'][number]): unknown {
  if (part.type === 'image' && part.image instanceof Uint8Array)
    return { ...part, image: Buffer.from(part.image).toString('base64') }
  if (part.type === 'file' && part.file instanceof Uint8Array)
    return { ...part, file: Buffer.from(part.file).toString('base64') }
  return part
}

export function toSessionRow({ id, system, metadata }: NewSession): NewSessionRow {
  return {
    id: checkId(id, 'session'),
    system: system == null ? null : checkText(system, 'system prompt').toWellFormed(),
    metadata: metadata === undefined ? null : toJson(metadata),
  }
}

/** One object for all messages without reply fields: it crosses to the other thread once per batch. */
const unknownReply: Readonly<ReplyRow> = Object.freeze({
  provider: null,
  model: null,
  responseId: null,
  finishReason: null,
  rawFinishReason: null,
  refusal: null,
  usage: null,
  costUsd: null,
  timing: null,
  warnings: null,
  error: null,
})
const replyFields = Object.keys(unknownReply) as (keyof ReplyRow)[]

export function toReplyRow(fields: ReplyFields): ReplyRow {
  if (replyFields.every((field) => fields[field] === undefined)) return unknownReply
  const json = (value: unknown) => (value === undefined ? null : toJson(value))
  const text = (value: string | undefined) => value?.toWellFormed() ?? null
  return {
    provider: text(fields.provider),
    model: text(fields.model),
    responseId: text(fields.responseId),
    finishReason: text(fields.finishReason),
    rawFinishReason: text(fields.rawFinishReason),
    refusal: text(fields.refusal),
    usage: json(fields.usage),
    costUsd: fields.costUsd ?? null,
    timing: json(fields.timing),
    warnings: json(fields.warnings),
    error: json(fields.error),
  }
}

const jsonFields = ['usage', 'timing', 'warnings', 'error'] as const
const plainFields = [
  'parentId',
  'operationId',
  'provider',
  'model',
  'responseId',
  'finishReason',
  'rawFinishReason',
  'refusal',
  'costUsd',
] as const

export function fromMessageRow(row: MessageRow): StoredMessage {
  const { id, sessionId, sequence, turn, role, status } = row
  const message: Record<string, unknown> = { id, sessionId, sequence, turn, role, status }
  message['content'] = JSON.parse(row.content)
  message['createdAt'] = new Date(row.createdAt)
  for (const field of plainFields) if (row[field] !== null) message[field] = row[field]
  for (const field of jsonFields) {
    const json = row[field]
    if (json !== null) message[field] = JSON.parse(json)
  }
  return message as unknown as StoredMessage
}

/** The messages that were added, from the rows that were sent and their place. Sending them back would double the cost. */
export function fromAddedRows(
  sessionId: string,
  rows: readonly AddedMessageRow[],
  { sequence, turn, parentId, createdAt }: AddedRow,
): StoredMessage[] {
  return rows.map(({ reply, text: _text, ...row }, at) =>
    fromMessageRow({
      ...reply,
      ...row,
      sessionId,
      sequence: sequence + at,
      turn: turn + row.turn,
      parentId: rows[at - 1]?.id ?? parentId,
      operationId: null,
      createdAt,
    }),
  )
}

export function fromSessionRow({ createdAt, updatedAt, metadata, ...row }: SessionRow): SessionRecord {
  return {
    ...row,
    createdAt: new Date(createdAt),
    updatedAt: new Date(updatedAt),
    ...(metadata === undefined ? {} : { metadata: JSON.parse(metadata) as Record<string, unknown> }),
  }
}
