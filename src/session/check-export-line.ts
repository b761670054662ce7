/**
 * Checks that a line of an export is a message as the store keeps it. Code behind this check trusts the value.
 *
 * Room `session`: a conversation that a store keeps. Imported by `blocking/thread`, `index`.
 */
import { ConvokeError } from '../errors.ts'
import { normalizePrompt } from '../request/normalize-prompt.ts'
import type { MessageStatus, ReplyFields, StoredContent, StoredMessage } from '../store/store.ts'
import type { UserMessage } from '../types.ts'

type Check = (value: unknown) => boolean
/** Checks of the known fields of an object. Unknown fields are not checked. */
type Fields = Record<string, Check>
type Parts<Part extends { type: string }> = Record<Part['type'], Fields>

const isText: Check = (value) => typeof value === 'string'
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const maybeText = maybe(isText)
const maybeFlag = maybe((value) => typeof value === 'boolean')

const text: Fields = { text: isText, signature: maybeText }
const partFields: {
  [Role in StoredContent['role']]: Parts<Extract<StoredContent, { role: Role }>['content'][number]>
} = {
  user: {
    text,
    image: { image: isText, mediaType: maybeText },
    file: { file: isText, mediaType: isText, name: maybeText },
  },
  assistant: {
    text,
    reasoning: { ...text, redacted: maybeFlag, id: maybeText, provider: maybeText },
    'tool-call': { id: isText, name: isText, signature: maybeText },
  },
  tool: { 'tool-result': { toolCallId: isText, name: maybeText, isError: maybeFlag } },
  summary: { text },
}

const statuses: Record<MessageStatus, true> = {
  streaming: true,
  complete: true,
  interrupted: true,
  cancelled: true,
  failed: true,
}
const messageFields: Record<keyof ReplyFields | 'turn' | 'status', Check> = {
  status: maybe((value) => isText(value) && Object.hasOwn(statuses, value as string)),
  turn: maybe(Number.isSafeInteger),
  provider: maybeText,
  model: maybeText,
  responseId: maybeText,
  finishReason: maybeText,
  rawFinishReason: maybeText,
  refusal: maybeText,
  usage: maybe(isObject),
  costUsd: maybe(Number.isFinite),
  timing: maybe(isObject),
  warnings: maybe(Array.isArray),
  error: maybe(isObject),
}

/** A message of an export. Fields that the store sets anew are missing. */
export type ExportLine = StoredContent & Partial<Pick<StoredMessage, keyof ReplyFields | 'turn' | 'status'>>

/** @throws ConvokeError `invalid_request` for a value that is not such a message, and for media that no call accepts */
export function checkExportLine(value: Record<string, unknown>): ExportLine {
  const { role, content } = value
  if (!isText(role) || !Object.hasOwn(partFields, role as string)) {
    throw bad(`the role is ${shown(role)}; roles are ${Object.keys(partFields).join(', ')}`)
  }
  if (!Array.isArray(content)) throw bad(`the content is ${shown(content)}; it must be a list of parts`)
  checkFields(value, messageFields, 'message')
  const known: Record<string, Fields> = partFields[role as StoredContent['role']]
  for (const part of content as unknown[]) {
    const type = isObject(part) ? (part as Record<string, unknown>)['type'] : undefined
    const fields = typeof type === 'string' && Object.hasOwn(known, type) ? known[type] : undefined
    if (!fields) {
      const what = isObject(part) ? `of type ${shown(type)}` : shown(part)
      throw bad(
        `a part of the ${role as string} message is ${what}; its parts are ${Object.keys(known).join(', ')}`,
      )
    }
    checkFields(part as Record<string, unknown>, fields, `${type as string} part`)
  }
  // Media are checked as in any prompt: a picture that no call accepts would make every later turn fail.
  if (role === 'user' && content.length > 0) normalizePrompt({ role, content } as UserMessage, {}, () => {})
  return value as unknown as ExportLine
}

function checkFields(value: Record<string, unknown>, fields: Fields, what: string): void {
  for (const [name, isRight] of Object.entries(fields)) {
    if (!isRight(value[name])) throw bad(`the ${name} of the ${what} is ${shown(value[name])}`)
  }
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isObject(value)) return 'an object'
  return isText(value) ? JSON.stringify((value as string).slice(0, 60)) : String(value)
}

function bad(message: string): ConvokeError {
  return new ConvokeError('invalid_request', message)
}
