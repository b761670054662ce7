/** One request and its response, from the first byte to the record's last field. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkRequest, prepareAnswer, Refusal } from './answer.ts'
import type { AnswerSource } from './answer.ts'
import { Connection } from './connection.ts'
import { problemOf, send, sendProblem } from './delivery.ts'
import type { Destination } from './delivery.ts'
import { chooseFault, FAULT_HEADER } from './faults.ts'
import type { FaultQueue } from './faults.ts'
import type { RequestLog } from './request-log.ts'
import type { Fault, RequestOutcome } from './types.ts'
import { understand } from './understand.ts'
import type { Understood } from './understand.ts'
import type { Problem } from './wire-format.ts'

/** What an exchange needs to know of its simulator. */
export interface SimulatorState extends AnswerSource {
  readonly log: RequestLog
  readonly faults: FaultQueue
  openStreams: number
}

const MAX_BODY_BYTES = 64 * 1024 * 1024

/** Answers one request. Never rejects: whatever goes wrong is told to the client. */
export async function handle(
  state: SimulatorState,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now()
  const connection = new Connection(response)
  const body = await readBody(incoming)
  if (body === undefined || connection.isClosed) return // hung up before it had said what it wants
  const understood = understand(incoming, body.text, startedAt, state.log)
  const to = follow(state, understood, connection)
  try {
    if (body.isTooLarge) throw new Refusal({ status: 413 })
    await run(state, understood, to)
  } catch (error) {
    if (response.headersSent) response.destroy()
    else sendProblem(to, problemIn(error), 'error')
  }
}

async function run(state: SimulatorState, understood: Understood, to: Destination): Promise<void> {
  const asked = takeFault(state, understood)
  if (asked !== undefined && (await failEarly(state, to, asked))) return
  checkRequest(understood, state)
  const { answer, ...prepared } = await prepareAnswer(understood, state)
  const fault = asked ?? prepared.fault
  if (asked === undefined && fault !== undefined && (await failEarly(state, to, fault))) return
  await to.connection.pause(fault?.latencyMs ?? prepared.latencyMs ?? state.options.latencyMs ?? 0)
  await send(to, answer, fault)
}

/** A fault in the header is the client's to put right; one of the user's function is not. */
function takeFault(state: SimulatorState, { record }: Understood): Fault | undefined {
  try {
    return chooseFault(state.faults, record, state.options.fault)
  } catch (error) {
    const status = record.headers[FAULT_HEADER] === undefined ? 500 : 400
    throw new Refusal({ ...problemIn(error), status })
  }
}

/** Does what a fault wants instead of any answer; false where it wants nothing of the kind. */
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

/** Keeps the record up to date until the response has ended, whoever ends it. */
function follow(state: SimulatorState, { record, route }: Understood, connection: Connection): Destination {
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

function problemIn(error: unknown): Problem {
  if (error instanceof Refusal) return error.problem
  return { status: 500, message: error instanceof Error ? error.message : String(error) }
}

/** The body as text; undefined where the client hung up. What exceeds the limit is read and thrown away. */
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
