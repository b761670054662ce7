/** Sends responses, with the faults that strike while they are sent. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Connection } from './connection.ts'
import { hasShare, planFault } from './faults.ts'
import type { FaultPlan } from './faults.ts'
import { parseJson } from './json-value.ts'
import type { Fault, RequestOutcome, RequestRecord } from './types.ts'
import type { Problem, Vendor } from './wire-format.ts'

/** The body of a response without faults. */
export type ResponseBody = JsonBody | StreamBody

/** A body that is sent at once. */
interface JsonBody {
  kind: 'json'
  /** Sent as JSON; undefined for an empty body. */
  value: unknown
  /** Called once the body was sent in full. */
  onSent?: () => void
}

/** A body that is sent event by event. */
export interface StreamBody {
  kind: 'stream'
  contentType: string
  hasComments: boolean
  /** The number of events that open a reply. They are sent without a pause, together with the event after them. */
  openingEvents: number
  junkEvent: string
  /** Can be called twice with the same result, because a fault by share counts the events first. */
  events(): Iterable<string>
  errorEvent(message: string | undefined): string
  /** Milliseconds between two events. */
  paceMs: number
  /** Called once the body was sent in full. */
  onSent?: () => void
}

/** The client that a response goes to. */
export interface Destination {
  connection: Connection
  record: RequestRecord
  vendor: Vendor
  requestId: string
  /** Ends the response, and sets the outcome that is recorded once it is written. */
  end(outcome: RequestOutcome, lastText?: string): void
}

const JSON_TYPE = 'application/json; charset=utf-8'
const NOT_JSON = '<html><head><title>502 Bad Gateway</title></head><body>upstream hiccup</body></html>\n'

/** Sends a body, and lets the fault strike in the middle of it. */
export async function sendResponse(
  to: Destination,
  body: ResponseBody,
  fault: Fault | undefined,
): Promise<void> {
  if (to.connection.isClosed) return
  if (body.kind === 'stream') await sendStream(to, body, fault)
  else await sendJson(to, body, fault)
}

/** Sends an error, in the vendor's format or with the body of the fault. */
export function sendProblem(
  to: Destination,
  problem: Problem,
  outcome: 'error' | 'fault',
  fault: Fault = {},
): void {
  if (to.connection.isClosed) return
  const body = fault.body ?? JSON.stringify(to.vendor.error(problem, to.requestId))
  writeHead(to, problem.status, {
    'content-type': parseJson(body) === undefined ? 'text/html; charset=utf-8' : JSON_TYPE,
    'content-length': Buffer.byteLength(body),
    ...(problem.retryAfter !== undefined && { 'retry-after': String(problem.retryAfter) }),
    ...fault.headers,
  })
  to.end(outcome, body)
}

/** The problem that a fault describes. */
export function problemOf(fault: Fault, status: number): Problem {
  return {
    status,
    ...(fault.message !== undefined && { message: fault.message }),
    ...(fault.retryAfter !== undefined && { retryAfter: fault.retryAfter }),
  }
}

async function sendStream(to: Destination, body: StreamBody, fault: Fault | undefined): Promise<void> {
  const { connection, record } = to
  const plan = hasShare(fault) ? planFault(fault, count(body.events())) : {}
  const comment = fault?.comments === true && body.hasComments ? ': keep-alive\n\n' : ''
  writeHead(to, 200, {
    'content-type': body.contentType,
    'cache-control': 'no-cache',
    ...retryAfterOf(fault),
    ...fault?.headers,
  })
  connection.response.flushHeaders()
  let index = 0
  for (const event of body.events()) {
    if (plan.break?.at === index) return breakOff(to, plan.break.kind, () => body.errorEvent(fault?.message))
    if (body.paceMs > 0 && index > body.openingEvents) await connection.pause(body.paceMs)
    if (connection.isClosed) return
    const junk = plan.junkAt === index ? body.junkEvent : ''
    const written = connection.writeChunk(junk + (index > 0 ? comment : '') + event)
    record.eventsSent = ++index
    // Awaited only when the client is slow, because a promise for every event would cost more than the event.
    if (written !== undefined) await written
  }
  if (connection.isClosed) return
  body.onSent?.()
  to.end(plan.junkAt === undefined ? 'complete' : 'fault')
}

async function sendJson(to: Destination, body: JsonBody, fault: Fault | undefined): Promise<void> {
  const isJunk = fault?.junkAfter !== undefined
  const text = isJunk ? NOT_JSON : body.value === undefined ? '' : JSON.stringify(body.value)
  const bytes = Buffer.from(text)
  const plan: FaultPlan = hasShare(fault) ? planFault(fault, bytes.length) : {}
  if (plan.break?.kind === 'error') {
    const status = to.vendor.overloadedStatus
    return sendProblem(to, problemOf(fault ?? {}, status), 'fault', fault)
  }
  writeHead(to, 200, {
    'content-type': JSON_TYPE,
    // Without a content-length an early end looks clean: only the JSON shows that something is missing.
    ...(plan.break?.kind !== 'end' && { 'content-length': bytes.length }),
    ...retryAfterOf(fault),
    ...fault?.headers,
  })
  if (plan.break !== undefined) {
    to.connection.response.flushHeaders()
    await to.connection.write(bytes.subarray(0, plan.break.at))
    return breakOff(to, plan.break.kind, () => '')
  }
  to.record.eventsSent = 1
  body.onSent?.()
  to.end(isJunk ? 'fault' : 'complete', text)
}

async function breakOff(
  to: Destination,
  kind: 'stall' | 'cut' | 'end' | 'error',
  errorEvent: () => string,
): Promise<void> {
  switch (kind) {
    case 'stall':
      return // the response stays open until the client closes the connection
    case 'cut':
      to.record.outcome = 'fault'
      return to.connection.reset()
    case 'end':
      return to.end('fault')
    case 'error':
      void to.connection.writeChunk(errorEvent())
      return to.end('fault')
    default:
      kind satisfies never
  }
}

function writeHead(to: Destination, status: number, headers: OutgoingHttpHeaders): void {
  to.record.status = status
  to.connection.response.writeHead(status, { ...to.vendor.headers(to.requestId), ...headers })
}

function retryAfterOf(fault: Fault | undefined): OutgoingHttpHeaders {
  return fault?.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
}

function count(events: Iterable<string>): number {
  const iterator = events[Symbol.iterator]()
  let total = 0
  while (iterator.next().done !== true) total += 1
  return total
}
