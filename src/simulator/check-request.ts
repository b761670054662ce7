/** Refuses requests that the vendor would refuse, or that the simulator's options forbid. */
import { findBrokenRule } from './strict-messages.ts'
import { conversationLength } from './parse-request.ts'
import type { ParsedRequest } from './parse-request.ts'
import type { ModelCatalog } from './model-catalog.ts'
import type { SimulatorOptions } from './types.ts'
import type { Problem } from './wire-format.ts'

/** The reason why a request is refused. It is sent in the vendor's own error format. */
export class Refusal extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

const READS_A_MODEL = new Set(['chat', 'responses', 'messages', 'generate', 'count-tokens', 'show', 'pull'])

/** @throws Refusal when the request gets no answer */
export function checkRequest(
  request: ParsedRequest,
  { options, models }: { options: SimulatorOptions; models: ModelCatalog },
): void {
  checkBody(request, options)
  const { record, route, conversation } = request
  const { maxCountedUnits = Infinity } = route.vendor
  if (record.api === 'count-tokens' && conversationLength(record) > maxCountedUnits) {
    const message = `[simulator] The text is longer than ${maxCountedUnits} characters. Send it in pieces.`
    throw new Refusal({ status: 400, message })
  }
  const isBoundToList = options.strictModels === true && record.api !== 'pull'
  const mustExist = record.api === 'show' || record.api === 'delete' || (isBoundToList && record.model !== '')
  if (mustExist && !models.has(route.vendor, record.model)) {
    throw new Refusal({ status: 404, kind: 'model-not-found', model: record.model })
  }
  if (options.strictMessages === true && conversation !== undefined && !conversation.isContinuation) {
    const broken = findBrokenRule(conversation.messages)
    if (broken !== undefined) throw new Refusal({ status: 400, message: broken })
  }
}

function checkBody({ record, key }: ParsedRequest, { apiKey }: SimulatorOptions): void {
  if (record.api === 'unknown') {
    const message = `[simulator] No vendor has ${record.method} ${record.path}.`
    throw new Refusal({ status: 404, message })
  }
  if (apiKey !== undefined && key !== apiKey) throw new Refusal({ status: 401 })
  if (record.method === 'POST' && (typeof record.body !== 'object' || record.body === null)) {
    throw new Refusal({ status: 400, message: '[simulator] The request body is not a JSON object.' })
  }
  if (READS_A_MODEL.has(record.api) && record.model === '') {
    throw new Refusal({ status: 400, message: '[simulator] The request names no model.' })
  }
}
