/** Ollama's chat and generate (https://docs.ollama.com/api): lines of JSON, streamed unless told otherwise. */
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { ollamaMessage } from './ollama.ts'
import { toolName } from './openai-chat.ts'
import { split, textPieces } from './reply.ts'
import type { PreparedReply, PreparedToolCall } from './reply.ts'
import { turn } from './strict-messages.ts'
import type { Turn } from './strict-messages.ts'
import type { SimulatedRequest } from './types.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation, WireFormat } from './wire-format.ts'

/** Puts text, thinking and calls where the endpoint has them. */
type Place = (fields: { text: string; thinking?: string; tool_calls?: JsonObject[] }) => JsonObject

const inMessage: Place = ({ text, ...more }) => ({ message: { role: 'assistant', content: text, ...more } })
const inResponse: Place = ({ text, ...more }) => ({ response: text, ...more })

export const ollamaChat: WireFormat = wireFormat(inMessage, readChat)
export const ollamaGenerate: WireFormat = wireFormat(inResponse, readGenerate)

function wireFormat(place: Place, read: WireFormat['read']): WireFormat {
  return {
    contentType: 'application/x-ndjson',
    hasComments: false,
    openingEvents: 0,
    junkEvent: '{"model":"junk","created_at":"20\n',
    read,
    json: (reply, request) => json(reply, request, place),
    events: (reply, request) => events(reply, request, place),
    errorEvent: (_reply, message) =>
      line({ error: ollamaMessage({ status: 500, ...(message !== undefined && { message }) }) }),
  }
}

function readChat(body: JsonObject): Conversation {
  const messages = asObjects(body['messages'])
  const systems = messages.filter((message) => message['role'] === 'system')
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] !== false,
    system: systems.map((message) => textOf(message['content'])),
    turns: messages.filter((message) => message['role'] !== 'system').map(readMessage),
    tools: asObjects(body['tools']).map(toolName),
  }
}

function readGenerate(body: JsonObject): Conversation {
  const system = asString(body['system'])
  const prompt = asString(body['prompt'])
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] !== false,
    system: system === undefined ? [] : [system],
    turns: prompt === undefined || prompt === '' ? [] : [turn('user', prompt)],
    tools: [],
  }
}

/** Ollama's calls have no ids of old: a result says the tool's name, or nothing. */
function readMessage(message: JsonObject): Turn {
  const role = asString(message['role']) ?? ''
  const text = textOf(message['content'])
  const calls = asObjects(message['tool_calls']).map(toolName)
  if (role === 'tool') return turn(role, text, { results: [asString(message['tool_name']) ?? ''] })
  const hasImages = Array.isArray(message['images']) && message['images'].length > 0
  return turn(role, text, { calls, ...(hasImages && { isEmpty: false }) })
}

function json(reply: PreparedReply, request: SimulatedRequest, place: Place): unknown {
  if (isLoadRequest(request)) return loaded(reply, request, place)
  const calls = toolCalls(reply)
  const fields = {
    text: reply.text + reply.refusal + unparsedCalls(reply),
    ...(reply.reasoning !== '' && { thinking: reply.reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
  return { ...head(reply), ...place(fields), ...end(reply) }
}

function* events(reply: PreparedReply, request: SimulatedRequest, place: Place): Generator<string> {
  if (isLoadRequest(request)) {
    yield line(loaded(reply, request, place))
    return
  }
  const piece = (fields: Parameters<Place>[0]) => line({ ...head(reply), ...place(fields), done: false })
  for (const thinking of split(reply.reasoning, reply.chunkSize)) yield piece({ text: '', thinking })
  for (const text of textPieces(reply)) yield piece({ text })
  for (const text of split(reply.refusal + unparsedCalls(reply), reply.chunkSize)) yield piece({ text })
  // Ollama sends each call whole, once its model has finished writing it.
  for (const call of toolCalls(reply)) yield piece({ text: '', tool_calls: [call] })
  yield line({ ...head(reply), ...place({ text: '' }), ...end(reply) })
}

/** A request without any prompt loads the model, or unloads it by `keep_alive: 0`. */
function isLoadRequest(request: SimulatedRequest): boolean {
  return request.messages.length === 0 && request.system === undefined
}

function loaded(reply: PreparedReply, request: SimulatedRequest, place: Place): JsonObject {
  const isUnload = isObject(request.body) && request.body['keep_alive'] === 0
  return { ...head(reply), ...place({ text: '' }), done: true, done_reason: isUnload ? 'unload' : 'load' }
}

function head(reply: PreparedReply): JsonObject {
  return { model: reply.model, created_at: new Date(reply.createdMs).toISOString() }
}

/** Durations are nanoseconds; these only look alive. */
function end(reply: PreparedReply): JsonObject {
  const { inputTokens, outputTokens } = reply.usage
  return {
    done: true,
    done_reason: reply.finishReason === 'length' ? 'length' : 'stop',
    total_duration: 50_000_000 + outputTokens * 1_000_000,
    load_duration: 10_000_000,
    prompt_eval_count: inputTokens,
    prompt_eval_duration: 40_000_000,
    eval_count: outputTokens,
    eval_duration: outputTokens * 1_000_000,
  }
}

function toolCalls(reply: PreparedReply): JsonObject[] {
  return reply.toolCalls.filter(isParsed).map((call) => ({
    ...(call.id !== undefined && { id: call.id }),
    function: { name: call.name, arguments: call.value },
  }))
}

/** A call that Ollama cannot parse stays in the text, as the model wrote it. */
function unparsedCalls(reply: PreparedReply): string {
  const unparsed = reply.toolCalls.filter((call) => !isParsed(call))
  return unparsed.map((call) => `{"name": ${JSON.stringify(call.name)}, "arguments": ${call.json}`).join('')
}

function isParsed(call: PreparedToolCall): boolean {
  return isObject(call.value)
}

function line(data: JsonObject): string {
  return `${JSON.stringify(data)}\n`
}
