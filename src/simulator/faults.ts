/** Chooses the fault of a request, and where in the response it strikes. */
import { checkFault } from './checks.ts'
import { parseJson } from './json-value.ts'
import type { Fault, FaultFunction, SimulatedRequest } from './types.ts'

/** The request header that asks for a fault: a `Fault` as JSON. */
export const FAULT_HEADER = 'x-simulator-fault'

/** How a response is broken off. */
type Break = 'stall' | 'cut' | 'end' | 'error'

/** Where a fault strikes: an index of a stream's events, or of a body's bytes. */
export interface FaultPlan {
  break?: { kind: Break; at: number }
  junkAt?: number
}

/** Faults that are queued for the next requests. */
export class FaultQueue {
  #queued: { fault: Fault; left: number }[] = []

  add(fault: Fault, times: number): void {
    this.#queued.push({ fault, left: times })
  }

  take(): Fault | undefined {
    const first = this.#queued[0]
    if (first === undefined) return undefined
    first.left -= 1
    if (first.left === 0) this.#queued.shift()
    return first.fault
  }

  clear(): void {
    this.#queued = []
  }
}

/**
 * Chooses the first fault of these: the next one in the queue, the one in the request's header, the one of the
 * simulator's options. If there is none, the scripted reply may still have a fault of its own.
 *
 * @throws TypeError or RangeError when the fault of the header or of the user's function is invalid
 */
export function chooseFault(
  queue: FaultQueue,
  request: SimulatedRequest,
  given: Fault | FaultFunction | undefined,
): Fault | undefined {
  const queued = queue.take()
  if (queued !== undefined) return queued
  const header = request.headers[FAULT_HEADER]
  if (header !== undefined) return parseFault(header)
  if (typeof given !== 'function') return given
  const chosen = given(request)
  if (chosen !== undefined) checkFault(chosen)
  return chosen
}

/** Whether a fault strikes after a share of the response, so that the length of the response must be known. */
export function hasShare(fault: Fault | undefined): fault is Fault {
  if (fault === undefined) return false
  const { stallAfter, cutAfter, endAfter, junkAfter, errorAfter } = fault
  return [stallAfter, cutAfter, endAfter, junkAfter, errorAfter].some((share) => share !== undefined)
}

/** Turns shares into indexes, at most that of the last of `total` events or bytes. The earliest break wins. */
export function planFault(fault: Fault, total: number): FaultPlan {
  const position = (share: number) => Math.max(0, Math.min(Math.floor(total * share), total - 1))
  const breaks: [Break, number | undefined][] = [
    ['error', fault.errorAfter],
    ['stall', fault.stallAfter],
    ['cut', fault.cutAfter],
    ['end', fault.endAfter],
  ]
  const plan: FaultPlan = {}
  for (const [kind, share] of breaks) {
    if (share === undefined) continue
    const at = position(share)
    if (plan.break === undefined || at < plan.break.at) plan.break = { kind, at }
  }
  if (fault.junkAfter !== undefined) plan.junkAt = position(fault.junkAfter)
  return plan
}

function parseFault(header: string): Fault {
  const fault = parseJson(header)
  if (fault === undefined) {
    throw new TypeError(
      `[simulator] The header ${FAULT_HEADER} is not JSON. Send a fault, such as {"status":429}.`,
    )
  }
  checkFault(fault)
  return fault
}
