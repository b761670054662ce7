/** Reads the errors that vendors report: the body of a failed response, an error inside a reply, and the retry headers. */
import { vendorError } from './vendor-error.ts'
import type { ConvokeError } from '../errors.ts'
import type { VendorErrorFields } from './vendor-error.ts'

type Fields = Record<string, unknown>

/**
 * Reads the error body of any vendor: `{ error: { type, code, message } }` (OpenAI, Anthropic, and most
 * compatible servers), `{ error: { status, code, message, details } }` (Gemini, also inside an array),
 * `{ message }` (Cohere), `{ error: 'text' }` (Ollama), `{ detail }` (vLLM and FastAPI), or plain text.
 */
export function readVendorError(body: unknown, status?: number, headers?: Headers): VendorErrorFields {
  const outer = asFields(Array.isArray(body) ? body[0] : body)
  const inner = asFields(outer?.['error']) ?? outer
  const details = Array.isArray(inner?.['details']) ? inner['details'].map(asFields) : []
  const kinds = [
    inner?.['code'],
    inner?.['type'],
    inner?.['status'],
    ...details.map((detail) => detail?.['reason']),
  ]
  const delay = details.map((detail) => detail?.['retryDelay']).find((value) => typeof value === 'string')
  // Gemini and OpenRouter put the status into the error event of a stream.
  const stated = Number(inner?.['code'])
  status ??= stated >= 400 && stated < 600 ? stated : undefined
  const retryAfterMs =
    parseRetryAfter(headers) ?? (delay ? secondsToMs(String(delay).replace(/s$/, '')) : undefined)
  const shouldRetry = headers?.get('x-should-retry')
  return {
    ...(status === undefined ? {} : { status }),
    kinds: kinds.filter((kind): kind is string => typeof kind === 'string'),
    message: textOf(body, outer, inner),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(shouldRetry === 'true' || shouldRetry === 'false' ? { shouldRetry: shouldRetry === 'true' } : {}),
  }
}

/**
 * Finds the error in a reply, or in an event of a stream, whose status said success. It stands in `error`, in vLLM's
 * older `{ object: 'error' }`, in Groq's `x_groq`, or in the first choice (OpenRouter).
 *
 * @returns the part that `readVendorError` reads; undefined when the reply holds no error
 */
export function findEmbeddedError(body: Fields): unknown {
  if (body['error'] || body['object'] === 'error') return body
  const groq = asFields(body['x_groq'])?.['error']
  if (groq) return { error: groq }
  const choices = Array.isArray(body['choices']) ? (body['choices'] as (Fields | null)[]) : []
  const error = choices.find((choice) => choice && !choice['index'])?.['error']
  return error ? { error } : undefined
}

/**
 * The ConvokeError for an error that a reply holds.
 *
 * @param raw the vendor's own body or event with every key of the caller taken out; the cause of the error shows it
 */
export function embeddedError(
  fields: VendorErrorFields,
  raw: unknown,
  labels: { provider: string; model: string },
): ConvokeError {
  const cause = Object.assign(new Error('error inside a reply'), { body: raw, name: 'VendorResponse' })
  return vendorError(fields, { ...labels, cause })
}

/** The Date header counts whole seconds, so clocks that differ by less than this may agree. */
const clockToleranceMs = 2_000

/**
 * The wait that a response asks for, in milliseconds: its header `retry-after-ms`, or `retry-after` as seconds or as an
 * HTTP date (RFC 9110, 10.2.3). A date is compared with the server's clock where the Date header shows that the clocks
 * differ. A date in the past gives 0; a negative number, or a text that is no number and no date, gives undefined.
 */
export function parseRetryAfter(
  headers: Headers | undefined,
  nowMs: number = Date.now(),
): number | undefined {
  const inMs = headers?.get('retry-after-ms')?.trim()
  if (inMs && isNumber(inMs)) return Number(inMs)
  const value = headers?.get('retry-after')?.trim()
  if (!value) return undefined
  // A header that was sent twice is joined by a comma. A date has a comma too, and is told apart by its letters.
  const [first = ''] = value.split(',')
  if (!/[a-z]/i.test(value)) return isNumber(first) ? secondsToMs(first) : undefined
  const untilMs = Date.parse(value)
  if (Number.isNaN(untilMs)) return undefined
  const serverMs = Date.parse(headers?.get('date') ?? '')
  const clocksDiffer = Math.abs(serverMs - nowMs) > clockToleranceMs
  return Math.max(0, untilMs - (clocksDiffer ? serverMs : nowMs))
}

function isNumber(text: string): boolean {
  return /^\d+(\.\d+)?$/.test(text)
}

function secondsToMs(text: string): number | undefined {
  const seconds = Number(text)
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : undefined
}

function textOf(body: unknown, outer: Fields | undefined, inner: Fields | undefined): string {
  const candidates = [inner?.['message'], outer?.['message'], outer?.['error'], outer?.['detail'], body]
  for (const candidate of candidates) {
    if (typeof candidate === 'string' && candidate.trim()) return candidate.trim().slice(0, 2_000)
  }
  const detail = outer?.['detail'] ?? outer
  return detail === undefined ? '' : JSON.stringify(detail).slice(0, 2_000)
}

function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}
