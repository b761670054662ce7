/** Reads what a vendor says of its own failure: the body of an error, an error event, and the headers about retries. */
import { vendorError } from './vendor-error.ts'
import type { ConvokeError } from '../errors.ts'
import type { VendorFault } from './vendor-error.ts'

type Fields = Record<string, unknown>

/**
 * The fault in an error body of any of the vendors: `{ error: { type, code, message } }` (OpenAI, Anthropic, and most
 * compatible servers), `{ error: { status, code, message, details } }` (Gemini, also inside an array),
 * `{ message }` (Cohere), `{ error: 'text' }` (Ollama), `{ detail }` (vLLM and FastAPI), or plain text.
 */
export function readVendorFault(body: unknown, status?: number, headers?: Headers): VendorFault {
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
  // Inside a stream the status stands in the event itself (Gemini, OpenRouter).
  const stated = Number(inner?.['code'])
  status ??= stated >= 400 && stated < 600 ? stated : undefined
  const retryAfterMs =
    retryAfter(headers) ?? (delay ? secondsToMs(String(delay).replace(/s$/, '')) : undefined)
  const shouldRetry = headers?.get('x-should-retry')
  return {
    ...(status === undefined ? {} : { status }),
    kinds: kinds.filter((kind): kind is string => typeof kind === 'string'),
    message: messageOf(body, outer, inner),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(shouldRetry === 'true' || shouldRetry === 'false' ? { shouldRetry: shouldRetry === 'true' } : {}),
  }
}

/**
 * The part of a reply, or of an event, that tells of a failure although the status said success; undefined where there
 * is none. Besides the plain form: vLLM's older `{ object: 'error' }`, Groq's `x_groq`, and OpenRouter's choice.
 */
export function findFault(body: Fields): unknown {
  if (body['error'] || body['object'] === 'error') return body
  const groq = asFields(body['x_groq'])?.['error']
  if (groq) return { error: groq }
  const choices = Array.isArray(body['choices']) ? (body['choices'] as (Fields | null)[]) : []
  const error = choices.find((choice) => choice && !choice['index'])?.['error']
  return error ? { error } : undefined
}

/** A failure told inside a reply, as an error; `raw` is the vendor's own event, without any key. */
export function replyError(
  fault: VendorFault,
  raw: unknown,
  labels: { provider: string; model: string },
): ConvokeError {
  const cause = Object.assign(new Error('error inside a reply'), { body: raw, name: 'VendorResponse' })
  return vendorError(fault, { ...labels, cause })
}

/** The Date header counts whole seconds: a clock that is less apart than this may be right. */
const clockToleranceMs = 2_000

/**
 * How long a response asks to wait, in milliseconds: `retry-after-ms`, or `retry-after` as seconds or an HTTP date
 * (RFC 9110, 10.2.3), which is reckoned from the server's own clock where its Date header shows that it goes otherwise.
 * A date gone by is 0; what is negative, no number and no date is undefined.
 */
export function retryAfter(headers: Headers | undefined, nowMs: number = Date.now()): number | undefined {
  const inMs = headers?.get('retry-after-ms')?.trim()
  if (inMs && isNumber(inMs)) return Number(inMs)
  const value = headers?.get('retry-after')?.trim()
  if (!value) return undefined
  // A header that was sent twice is joined by a comma; every date has letters.
  const [first = ''] = value.split(',')
  if (!/[a-z]/i.test(value)) return isNumber(first) ? secondsToMs(first) : undefined
  const untilMs = Date.parse(value)
  if (Number.isNaN(untilMs)) return undefined
  const serverMs = Date.parse(headers?.get('date') ?? '')
  const isApart = Math.abs(serverMs - nowMs) > clockToleranceMs
  return Math.max(0, untilMs - (isApart ? serverMs : nowMs))
}

function isNumber(text: string): boolean {
  return /^\d+(\.\d+)?$/.test(text)
}

function secondsToMs(text: string): number | undefined {
  const seconds = Number(text)
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : undefined
}

function messageOf(body: unknown, outer: Fields | undefined, inner: Fields | undefined): string {
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
