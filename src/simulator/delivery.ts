/** Puts an answer on the wire, with the fault that it was given. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Connection } from './connection.ts'
import { hasShare, planFault } from './faults.ts'
import type { FaultPlan } from './faults.ts'
import { parseJson } from './json-value.ts'
import type { Fault, RequestOutcome, RequestRecord } from './types.ts'
import type { Problem, Vendor } from './wire-format.ts'

/** What is to be said to a request, before any fault. */
export type Answer = JsonAnswer | StreamAnswer

/** A body that is sent at once. */
export interface JsonAnswer {
  kind: 'json'
  /** Undefined for an empty body. */
  body: unknown
  /** Runs once the answer was sent in full. */
  onSent?: () => void
}

/** A body that is sent event by event. */
export interface StreamAnswer {
  kind: 'stream'
  contentType: string
  hasComments: boolean
  /** So many of them come without a pause, together with the one behind: as many as open a reply of text. */
  openingEvents: number
  junkEvent: string
  /** Repeatable: a fault by share counts them first. */
  events(): Iterable<string>
  errorEvent(message: string | undefined): string
  paceMs: number
  /** Runs once the answer was sent in full. */
  onSent?: () => void
}

/** Where an answer goes. */
export interface Destination {
  connection: Connection
  record: RequestRecord
  vendor: Vendor
  requestId: string
  /** Says how the exchange will have ended once the response is written. */
  end(outcome: RequestOutcome, lastText?: string): void
}

const JSON_TYPE = 'application/json; charset=utf-8'
const NOT_JSON = '<html><head><title>502 Bad Gateway</title></head><body>upstream hiccup</body></html>\n'

/** Sends a reply, with the faults that strike once it has begun. */
export async function send(to: Destination, answer: Answer, fault: Fault | undefined): Promise<void> {
  if (to.connection.isClosed) return
  if (answer.kind === 'stream') await sendStream(to, answer, fault)
  else await sendJson(to, answer, fault)
}

/** Sends a problem in the vendor's own words, or in the fault's. */
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

/** The problem that a fault with a status stands for. */
export function problemOf(fault: Fault, status: number): Problem {
  return {
    status,
    ...(fault.message !== undefined && { message: fault.message }),
    ...(fault.retryAfter !== undefined && { retryAfter: fault.retryAfter }),
  }
}

async function sendStream(to: Destination, answer: StreamAnswer, fault: Fault | undefined): Promise<void> {
  const { connection, record } = to
  const plan = hasShare(fault) ? planFault(fault, count(answer.events())) : {}
  const comment = fault?.comments === true && answer.hasComments ? ': keep-alive\n\n' : ''
  writeHead(to, 200, {
    'content-type': answer.contentType,
    'cache-control': 'no-cache',
    ...retryAfterOf(fault),
    ...fault?.headers,
  })
  connection.response.flushHeaders()
  let index = 0
  for (const event of answer.events()) {
    if (plan.break?.at === index)
      return breakOff(to, plan.break.kind, () => answer.errorEvent(fault?.message))
    if (answer.paceMs > 0 && index > answer.openingEvents) await connection.pause(answer.paceMs)
    if (connection.isClosed) return
    const junk = plan.junkAt === index ? answer.junkEvent : ''
    const written = connection.writeChunk(junk + (index > 0 ? comment : '') + event)
    record.eventsSent = ++index
    // Awaited only where it must be: a promise for every event would cost more than the event.
    if (written !== undefined) await written
  }
  if (connection.isClosed) return
  answer.onSent?.()
  to.end(plan.junkAt === undefined ? 'complete' : 'fault')
}

async function sendJson(to: Destination, answer: JsonAnswer, fault: Fault | undefined): Promise<void> {
  const isJunk = fault?.junkAfter !== undefined
  const text = isJunk ? NOT_JSON : answer.body === undefined ? '' : JSON.stringify(answer.body)
  const bytes = Buffer.from(text)
  const plan: FaultPlan = hasShare(fault) ? planFault(fault, bytes.length) : {}
  if (plan.break?.kind === 'error') {
    const status = to.vendor.overloadedStatus
    return sendProblem(to, problemOf(fault ?? {}, status), 'fault', fault)
  }
  writeHead(to, 200, {
    'content-type': JSON_TYPE,
    // Without a length, an early end looks clean: nothing but the JSON says that something is missing.
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
  answer.onSent?.()
  to.end(isJunk ? 'fault' : 'complete', text)
}

async function breakOff(
  to: Destination,
  kind: 'stall' | 'cut' | 'end' | 'error',
  errorEvent: () => string,
): Promise<void> {
  switch (kind) {
    case 'stall':
      return // the response stays open until the client hangs up
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
