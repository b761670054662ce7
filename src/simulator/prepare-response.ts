/** Prepares the response to a request: a scripted reply, a list of models, or another answer of the vendor. */
import { checkReply } from './checks.ts'
import type { ResponseBody, StreamBody } from './send-response.ts'
import type { ModelCatalog } from './model-catalog.ts'
import { ollamaChat } from './ollama-chat.ts'
import { pullEvents, runningModels } from './ollama.ts'
import { asScript, prepareReply } from './prepare-reply.ts'
import type { PreparedReply } from './prepare-reply.ts'
import type { Fault, Reply, ReplyFunction, SimulatorOptions } from './types.ts'
import { conversationLength, conversationTexts } from './parse-request.ts'
import type { ParsedRequest } from './parse-request.ts'
import { jsonLine } from './wire-format.ts'
import type { WireFormat } from './wire-format.ts'

/** The facts that a response depends on besides the request. */
export interface ResponseSource {
  readonly options: SimulatorOptions
  readonly reply: Reply | ReplyFunction | undefined
  readonly models: ModelCatalog
}

/** A response that is ready to be sent. */
export interface PreparedResponse {
  body: ResponseBody
  /** The latency and the fault that the reply's script asks for. */
  latencyMs?: number | undefined
  fault?: Fault | undefined
}

const DEFAULT_CHUNK_SIZE = 4

/** Prepares the response to a request that `checkRequest` accepted. */
export async function prepareResponse(
  request: ParsedRequest,
  source: ResponseSource,
): Promise<PreparedResponse> {
  const { record, route } = request
  const { vendor, format } = route
  const { models } = source
  const json = (value: unknown): PreparedResponse => ({ body: { kind: 'json', value } })
  switch (record.api) {
    case 'chat':
    case 'responses':
    case 'messages':
    case 'generate':
      if (format === undefined) throw new TypeError(`${record.api} has no wire format`)
      return prepareModelResponse(request, format, source)
    case 'count-tokens':
      if (vendor.count === undefined) throw new TypeError(`${vendor.name} counts no tokens`)
      return json(vendor.count(conversationTexts(record).join('')))
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
      return { body: pullBody(request, source) }
    case 'delete':
      models.remove(vendor, record.model)
      return json(undefined)
    case 'unknown':
      throw new TypeError('checkRequest refuses unknown endpoints')
    default:
      return record.api satisfies never
  }
}

async function prepareModelResponse(
  request: ParsedRequest,
  format: WireFormat,
  { options, reply }: ResponseSource,
): Promise<PreparedResponse> {
  const { record } = request
  const given = typeof reply === 'function' ? await reply(record) : (reply ?? {})
  checkReply(given)
  const script = asScript(given)
  const chunkSize = options.chunkSize ?? DEFAULT_CHUNK_SIZE
  const prepared = prepareReply(given, record, conversationLength(record), chunkSize)
  const body: ResponseBody = record.stream
    ? streamBody(format, prepared, request, script.paceMs ?? options.paceMs ?? 0)
    : { kind: 'json', value: format.json(prepared, record) }
  return { body, latencyMs: script.latencyMs, fault: script.fault }
}

function streamBody(
  format: WireFormat,
  reply: PreparedReply,
  { record }: ParsedRequest,
  paceMs: number,
): StreamBody {
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

/** The progress of an Ollama pull. The model is listed once the whole progress was sent. */
function pullBody({ record, route }: ParsedRequest, { options, models }: ResponseSource): ResponseBody {
  const onSent = () => models.add(route.vendor, record.model)
  if (!record.stream) return { kind: 'json', value: { status: 'success' }, onSent }
  return {
    kind: 'stream',
    contentType: ollamaChat.contentType,
    hasComments: false,
    openingEvents: 0,
    junkEvent: ollamaChat.junkEvent,
    events: () => pullEvents(record.model),
    errorEvent: (message) => jsonLine({ error: message ?? 'pull model manifest: file does not exist' }),
    paceMs: options.paceMs ?? 0,
    onSent,
  }
}
