/** What the simulator says to a request that no fault kept it from answering. */
import { checkReply } from './checks.ts'
import type { Answer, StreamAnswer } from './delivery.ts'
import { pullEvents } from './model-shelf.ts'
import type { ModelShelf } from './model-shelf.ts'
import { ollamaChat } from './ollama-chat.ts'
import { runningModels } from './ollama.ts'
import { asScript, prepareReply } from './reply.ts'
import type { PreparedReply } from './reply.ts'
import { findBrokenRule } from './strict-messages.ts'
import type { Fault, Reply, ReplyFunction, SimulatorOptions } from './types.ts'
import type { Understood } from './understand.ts'
import type { Problem, WireFormat } from './wire-format.ts'

/** What answers depend on, besides the request. */
export interface AnswerSource {
  readonly options: SimulatorOptions
  readonly reply: Reply | ReplyFunction | undefined
  readonly models: ModelShelf
}

/** An answer, and what its script says about time and faults. */
export interface PreparedAnswer {
  answer: Answer
  latencyMs?: number | undefined
  fault?: Fault | undefined
}

/** The simulator does not do what was asked, and says so in the vendor's words. */
export class Refusal extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message)
    this.problem = problem
  }
}

const DEFAULT_CHUNK_SIZE = 4
const READS_A_MODEL = new Set(['chat', 'responses', 'messages', 'generate', 'count-tokens', 'show', 'pull'])

/** @throws Refusal where the request is not one that the simulator answers */
export function checkRequest(understood: Understood, source: AnswerSource): void {
  const { record, route, conversation } = understood
  const { options, models } = source
  if (record.api === 'unknown') {
    const message = `[simulator] No vendor has ${record.method} ${record.path}.`
    throw new Refusal({ status: 404, message })
  }
  if (options.apiKey !== undefined && understood.key !== options.apiKey) throw new Refusal({ status: 401 })
  if (record.method === 'POST' && (typeof record.body !== 'object' || record.body === null)) {
    throw new Refusal({ status: 400, message: '[simulator] The request body is not a JSON object.' })
  }
  if (READS_A_MODEL.has(record.api) && record.model === '') {
    throw new Refusal({ status: 400, message: '[simulator] The request names no model.' })
  }
  const { maxCountedUnits = Infinity } = route.vendor
  if (record.api === 'count-tokens' && lengthOf(conversationTexts(understood)) > maxCountedUnits) {
    const message = `[simulator] The text is longer than ${maxCountedUnits} characters. Send it in pieces.`
    throw new Refusal({ status: 400, message })
  }
  const isBoundToList = options.strictModels === true && record.api !== 'pull'
  const mustExist = record.api === 'show' || record.api === 'delete' || (isBoundToList && record.model !== '')
  if (mustExist && !models.has(route.vendor, record.model)) {
    throw new Refusal({ status: 404, kind: 'model-not-found', model: record.model })
  }
  if (options.strictMessages === true && conversation !== undefined && !conversation.isContinuation) {
    const broken = findBrokenRule(conversation.turns)
    if (broken !== undefined) throw new Refusal({ status: 400, message: broken })
  }
}

/** The answer to a request that was checked. */
export async function prepareAnswer(understood: Understood, source: AnswerSource): Promise<PreparedAnswer> {
  const { record, route } = understood
  const { vendor, format } = route
  const { models } = source
  const json = (body: unknown): PreparedAnswer => ({ answer: { kind: 'json', body } })
  switch (record.api) {
    case 'chat':
    case 'responses':
    case 'messages':
    case 'generate':
      if (format === undefined) throw new TypeError(`${record.api} has no wire format`)
      return prepareReplyAnswer(understood, format, source)
    case 'count-tokens':
      if (vendor.count === undefined) throw new TypeError(`${vendor.name} counts no tokens`)
      return json(vendor.count(conversationTexts(understood).join('')))
    case 'models':
    case 'tags':
      return json(vendor.list(models.list(vendor)))
    case 'model':
    case 'show':
      return json(vendor.model(record.model))
    case 'ps':
      return json(runningModels(models.list(vendor)))
    case 'version':
      return json({ version: '0.12.6' })
    case 'pull':
      return { answer: pull(understood, source) }
    case 'delete':
      models.remove(vendor, record.model)
      return json(undefined)
    case 'unknown':
      throw new TypeError('checkRequest has refused it')
    default:
      return record.api satisfies never
  }
}

async function prepareReplyAnswer(
  understood: Understood,
  format: WireFormat,
  { options, reply }: AnswerSource,
): Promise<PreparedAnswer> {
  const { record } = understood
  const given = typeof reply === 'function' ? await reply(record) : (reply ?? {})
  checkReply(given)
  const script = asScript(given)
  const chunkSize = options.chunkSize ?? DEFAULT_CHUNK_SIZE
  const prepared = prepareReply(given, record, lengthOf(conversationTexts(understood)), chunkSize)
  const answer: Answer = record.stream
    ? streamAnswer(format, prepared, understood, script.paceMs ?? options.paceMs ?? 0)
    : { kind: 'json', body: format.json(prepared, record) }
  return { answer, latencyMs: script.latencyMs, fault: script.fault }
}

function streamAnswer(
  format: WireFormat,
  reply: PreparedReply,
  { record }: Understood,
  paceMs: number,
): StreamAnswer {
  return {
    kind: 'stream',
    contentType: format.contentType,
    hasComments: format.hasComments,
    openingEvents: format.openingEvents,
    junkEvent: format.junkEvent,
    events: () => format.events(reply, record),
    errorEvent: (message) => format.errorEvent(reply, message),
    paceMs,
  }
}

/** Ollama's pull: the model is listed once the client was told of its success. */
function pull({ record, route }: Understood, { options, models }: AnswerSource): Answer {
  const onSent = () => models.add(route.vendor, record.model)
  if (!record.stream) return { kind: 'json', body: { status: 'success' }, onSent }
  return {
    kind: 'stream',
    contentType: ollamaChat.contentType,
    hasComments: false,
    openingEvents: 0,
    junkEvent: ollamaChat.junkEvent,
    events: () => pullEvents(record.model),
    errorEvent: (message) =>
      `${JSON.stringify({ error: message ?? 'pull model manifest: file does not exist' })}\n`,
    paceMs: options.paceMs ?? 0,
    onSent,
  }
}

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((total, text) => total + text.length, 0)
}

function conversationTexts({ record }: Understood): string[] {
  return [record.system ?? '', ...record.messages.map((message) => message.text), ...record.tools]
}
