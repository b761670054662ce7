/** Handles one request: reads it, answers it, and completes its record. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkRequest, Refusal } from './check-request.ts'
import { prepareResponse } from './prepare-response.ts'
import type { ResponseSource } from './prepare-response.ts'
import { Connection } from './connection.ts'
import { problemOf, sendProblem, sendResponse } from './send-response.ts'
import type { Destination } from './send-response.ts'
import { chooseFault, FAULT_HEADER } from './faults.ts'
import type { FaultQueue } from './faults.ts'
import type { RequestLog } from './request-log.ts'
import type { Fault, RequestOutcome } from './types.ts'
import { parseRequest } from './parse-request.ts'
import type { ParsedRequest } from './parse-request.ts'
import type { Problem } from './wire-format.ts'

/** The state of a running simulator that requests read and change. */
export interface SimulatorState extends ResponseSource {
  readonly log: RequestLog
  readonly faults: FaultQueue
  openStreams: number
}

const MAX_BODY_BYTES = 64 * 1024 * 1024

/** Answers one request. Never rejects: errors are sent to the client. */
export async function handleRequest(
  state: SimulatorState,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now()
  const connection = new Connection(response)
  const body = await readBody(incoming)
  // The client may have closed the connection before the end of its request.
  if (body === undefined || connection.isClosed) return
  const request = parseRequest(incoming, body.text, startedAt, state.log)
  const to = track(state, request, connection)
  try {
    if (body.isTooLarge) throw new Refusal({ status: 413 })
    await respond(state, request, to)
  } catch (error) {
    if (response.headersSent) response.destroy()
    else sendProblem(to, problemOfError(error), 'error')
  }
}

async function respond(state: SimulatorState, request: ParsedRequest, to: Destination): Promise<void> {
  const chosen = takeFault(state, request)
  if (chosen !== undefined && (await failEarly(state, to, chosen))) return
  checkRequest(request, state)
  const { body, ...prepared } = await prepareResponse(request, state)
  const fault = chosen ?? prepared.fault
  if (chosen === undefined && fault !== undefined && (await failEarly(state, to, fault))) return
  await to.connection.pause(fault?.latencyMs ?? prepared.latencyMs ?? state.options.latencyMs ?? 0)
  await sendResponse(to, body, fault)
}

/** An invalid fault in the header is the client's mistake (400); one of the user's function is the server's (500). */
function takeFault(state: SimulatorState, { record }: ParsedRequest): Fault | undefined {
  try {
    return chooseFault(state.faults, record, state.options.fault)
  } catch (error) {
    const status = record.headers[FAULT_HEADER] === undefined ? 500 : 400
    throw new Refusal({ ...problemOfError(error), status })
  }
}

/** Performs a fault that replaces the whole response: a reset or a status. Returns false for all other faults. */
async function failEarly(state: SimulatorState, to: Destination, fault: Fault): Promise<boolean> {
  if (fault.reset !== true && fault.status === undefined) return false
  await to.connection.pause(fault.latencyMs ?? state.options.latencyMs ?? 0)
  if (to.connection.isClosed) return true
  if (fault.reset === true) {
    to.record.outcome = 'fault'
    await to.connection.reset()
  } else if (fault.status !== undefined) {
    sendProblem(to, problemOf(fault, fault.status), 'fault', fault)
  }
  return true
}

/** Updates the record until the response has ended, no matter which side ends it. */
function track(state: SimulatorState, { record, route }: ParsedRequest, connection: Connection): Destination {
  const { response } = connection
  let outcome: RequestOutcome = 'client-closed'
  if (record.stream) state.openStreams += 1
  response.on('close', () => {
    if (record.stream) state.openStreams -= 1
    record.endedAt = performance.now()
    if (record.outcome === 'open') record.outcome = response.writableFinished ? outcome : 'client-closed'
  })
  return {
    connection,
    record,
    vendor: route.vendor,
    requestId: `req_simulated${String(record.number).padStart(8, '0')}`,
    end: (ending, lastText) => {
      outcome = ending
      response.end(lastText)
    },
  }
}

function problemOfError(error: unknown): Problem {
  if (error instanceof Refusal) return error.problem
  return { status: 500, message: error instanceof Error ? error.message : String(error) }
}

/** The body as text; undefined when the client closed the connection. Bytes beyond the limit are read and dropped. */
async function readBody(
  incoming: IncomingMessage,
): Promise<{ text: string; isTooLarge: boolean } | undefined> {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of incoming as AsyncIterable<Buffer>) {
      bytes += part.length
      if (bytes <= MAX_BODY_BYTES) parts.push(part)
    }
  } catch {
    return undefined
  }
  const isTooLarge = bytes > MAX_BODY_BYTES
  return { text: isTooLarge ? '' : Buffer.concat(parts).toString('utf8'), isTooLarge }
}
