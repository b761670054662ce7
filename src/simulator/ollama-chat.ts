/** Ollama's chat and generate (https://docs.ollama.com/api). They stream lines of JSON by default. */
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { ollamaMessage } from './ollama.ts'
import { toolName } from './chat-body.ts'
import { split, textPieces } from './prepare-reply.ts'
import type { PreparedReply, PreparedToolCall } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import type { SimulatedRequest } from './types.ts'
import type { JsonObject } from './json-value.ts'
import { jsonLine } from './wire-format.ts'
import type { Conversation, WireFormat } from './wire-format.ts'

/** Puts text, thinking and calls into the field that the endpoint has for them. */
type WrapFields = (fields: { text: string; thinking?: string; tool_calls?: JsonObject[] }) => JsonObject

const inMessage: WrapFields = ({ text, ...more }) => ({
  message: { role: 'assistant', content: text, ...more },
})
const inResponse: WrapFields = ({ text, ...more }) => ({ response: text, ...more })

export const ollamaChat: WireFormat = wireFormat(inMessage, readChat)
export const ollamaGenerate: WireFormat = wireFormat(inResponse, readGenerate)

function wireFormat(wrap: WrapFields, read: WireFormat['read']): WireFormat {
  return {
    contentType: 'application/x-ndjson',
    hasComments: false,
    openingEvents: 0,
    junkEvent: '{"model":"junk","created_at":"20\n',
    read,
    json: (reply, request) => json(reply, request, wrap),
    events: (reply, request) => events(reply, request, wrap),
    errorEvent: (_reply, message) =>
      jsonLine({ error: ollamaMessage({ status: 500, ...(message !== undefined && { message }) }) }),
  }
}

function readChat(body: JsonObject): Conversation {
  const messages = asObjects(body['messages'])
  const systems = messages.filter((message) => message['role'] === 'system')
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] !== false,
    system: systems.map((message) => textOf(message['content'])),
    messages: messages.filter((message) => message['role'] !== 'system').map(readMessage),
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
    messages: prompt === undefined || prompt === '' ? [] : [wireMessage('user', prompt)],
    tools: [],
  }
}

/** Older versions of Ollama have no ids for calls: a result names the tool, or nothing. */
function readMessage(message: JsonObject): WireMessage {
  const role = asString(message['role']) ?? ''
  const text = textOf(message['content'])
  const calls = asObjects(message['tool_calls']).map(toolName)
  if (role === 'tool') return wireMessage(role, text, { results: [asString(message['tool_name']) ?? ''] })
  const hasImages = Array.isArray(message['images']) && message['images'].length > 0
  return wireMessage(role, text, { calls, ...(hasImages && { isEmpty: false }) })
}

function json(reply: PreparedReply, request: SimulatedRequest, wrap: WrapFields): unknown {
  if (isLoadRequest(request)) return loadResponse(reply, request, wrap)
  const calls = toolCalls(reply)
  const fields = {
    text: reply.text + reply.refusal + unparsedCalls(reply),
    ...(reply.reasoning !== '' && { thinking: reply.reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
  return { ...head(reply), ...wrap(fields), ...end(reply) }
}

function* events(reply: PreparedReply, request: SimulatedRequest, wrap: WrapFields): Generator<string> {
  if (isLoadRequest(request)) {
    yield jsonLine(loadResponse(reply, request, wrap))
    return
  }
  const piece = (fields: Parameters<WrapFields>[0]) =>
    jsonLine({ ...head(reply), ...wrap(fields), done: false })
  for (const thinking of split(reply.reasoning, reply.chunkSize)) yield piece({ text: '', thinking })
  for (const text of textPieces(reply)) yield piece({ text })
  for (const text of split(reply.refusal + unparsedCalls(reply), reply.chunkSize)) yield piece({ text })
  // Ollama sends each call whole, after the model has finished writing it.
  for (const call of toolCalls(reply)) yield piece({ text: '', tool_calls: [call] })
  yield jsonLine({ ...head(reply), ...wrap({ text: '' }), ...end(reply) })
}

/** Whether a request has no prompt. Such a request loads the model, or unloads it with `keep_alive: 0`. */
function isLoadRequest(request: SimulatedRequest): boolean {
  return request.messages.length === 0 && request.system === undefined
}

function loadResponse(reply: PreparedReply, request: SimulatedRequest, wrap: WrapFields): JsonObject {
  const isUnload = isObject(request.body) && request.body['keep_alive'] === 0
  return { ...head(reply), ...wrap({ text: '' }), done: true, done_reason: isUnload ? 'unload' : 'load' }
}

function head(reply: PreparedReply): JsonObject {
  return { model: reply.model, created_at: new Date(reply.createdMs).toISOString() }
}

/** The last fields of a reply. The durations are made-up nanoseconds. */
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

/** Calls that Ollama cannot parse. They stay in the text, as the model wrote them. */
function unparsedCalls(reply: PreparedReply): string {
  const unparsed = reply.toolCalls.filter((call) => !isParsed(call))
  return unparsed.map((call) => `{"name": ${JSON.stringify(call.name)}, "arguments": ${call.json}`).join('')
}

function isParsed(call: PreparedToolCall): boolean {
  return isObject(call.value)
}
