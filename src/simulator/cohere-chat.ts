/** Cohere's Chat API, version 2 (https://docs.cohere.com/reference/chat-stream). */
import { readChatBody } from './chat-body.ts'
import { cohereMessage } from './cohere.ts'
import { asObjects, asString, textOf } from './json-value.ts'
import { madeUpId, split, textPieces } from './prepare-reply.ts'
import type { PreparedReply, PreparedToolCall } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import { namedEvent } from './wire-format.ts'
import type { JsonObject } from './json-value.ts'
import type { WireFormat } from './wire-format.ts'

const FINISH_REASONS = {
  stop: 'COMPLETE',
  length: 'MAX_TOKENS',
  'tool-calls': 'TOOL_CALL',
  'content-filter': 'ERROR', // Cohere has no finish reason for this case
}

export const cohereChat: WireFormat = {
  contentType: 'text/event-stream',
  hasComments: true,
  openingEvents: 2,
  junkEvent: 'event: content-delta\ndata: {"type":"content-delta","index":0,"del\n\n',
  read: (body) => readChatBody(body, readMessage),
  json,
  events,
  errorEvent: (reply, message) =>
    event('message-end', {
      delta: {
        finish_reason: 'ERROR',
        error: cohereMessage({ status: 500, ...(message !== undefined && { message }) }),
        usage: usage(reply),
      },
    }),
}

/** Reads the plain text of `/v1/tokenize` as a prompt. */
export const cohereText: WireFormat = {
  ...cohereChat,
  read: (body) => ({
    model: asString(body['model']) ?? '',
    stream: false,
    system: [],
    messages: [wireMessage('user', asString(body['text']) ?? '')],
    tools: [],
  }),
}

function readMessage(message: JsonObject): WireMessage {
  const role = asString(message['role']) ?? ''
  const content = message['content']
  const parts = asObjects(content)
  if (role === 'tool') {
    const documents = asObjects(parts.map((part) => part['document'])).map((document) =>
      textOf(document['data'] ?? document),
    )
    const results = [asString(message['tool_call_id']) ?? '']
    return wireMessage(role, textOf(content) + documents.join(''), { results })
  }
  const text = (asString(message['tool_plan']) ?? '') + textOf(content)
  const calls = asObjects(message['tool_calls']).map((call) => asString(call['id']) ?? '')
  const hasMedia = parts.some((part) => part['type'] === 'image_url')
  return wireMessage(role, text, { calls, ...(hasMedia && { isEmpty: false }) })
}

function json(reply: PreparedReply): unknown {
  const text = reply.text + reply.refusal
  const hasCalls = reply.toolCalls.length > 0
  const content: JsonObject[] = []
  if (reply.reasoning !== '') content.push({ type: 'thinking', thinking: reply.reasoning })
  if (!hasCalls) content.push({ type: 'text', text })
  const message: JsonObject = { role: 'assistant' }
  if (content.length > 0) message['content'] = content
  if (hasCalls) {
    if (text !== '') message['tool_plan'] = text
    message['tool_calls'] = reply.toolCalls.map((call, index) => toolCall(reply, call, index, call.json))
  }
  return { id: id(reply), message, finish_reason: finishReason(reply), usage: usage(reply) }
}

function* events(reply: PreparedReply): Generator<string> {
  const empty = { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] }
  yield namedEvent('message-start', { id: id(reply), type: 'message-start', delta: { message: empty } })
  let index = 0
  if (reply.reasoning !== '') {
    yield* contentEvents(index++, 'thinking', split(reply.reasoning, reply.chunkSize))
  }
  if (reply.toolCalls.length === 0) {
    yield* contentEvents(index, 'text', visiblePieces(reply))
  } else {
    for (const tool_plan of visiblePieces(reply)) {
      yield event('tool-plan-delta', { delta: { message: { tool_plan } } })
    }
    yield* callEvents(reply)
  }
  yield event('message-end', { delta: { finish_reason: finishReason(reply), usage: usage(reply) } })
}

function* contentEvents(
  index: number,
  type: 'text' | 'thinking',
  pieces: Iterable<string>,
): Generator<string> {
  yield event('content-start', { index, delta: { message: { content: { type, [type]: '' } } } })
  for (const piece of pieces) {
    yield event('content-delta', { index, delta: { message: { content: { [type]: piece } } } })
  }
  yield event('content-end', { index })
}

function* callEvents(reply: PreparedReply): Generator<string> {
  for (const [index, call] of reply.toolCalls.entries()) {
    const tool_calls = toolCall(reply, call, index, '')
    yield event('tool-call-start', { index, delta: { message: { tool_calls } } })
    // Cohere's streams have no delta at all for a call without arguments.
    for (const piece of split(call.json === '{}' ? '' : call.json, reply.chunkSize)) {
      const delta = { message: { tool_calls: { function: { arguments: piece } } } }
      yield event('tool-call-delta', { index, delta })
    }
    yield event('tool-call-end', { index })
  }
}

function* visiblePieces(reply: PreparedReply): Generator<string> {
  yield* textPieces(reply)
  yield* split(reply.refusal, reply.chunkSize)
}

function event(type: string, data: JsonObject): string {
  return namedEvent(type, { type, ...data })
}

function toolCall(reply: PreparedReply, call: PreparedToolCall, index: number, json: string): JsonObject {
  return {
    id: call.id ?? madeUpId(`${call.name}_`, reply, index),
    type: 'function',
    function: { name: call.name, arguments: json },
  }
}

function id(reply: PreparedReply): string {
  return reply.id ?? madeUpId('', reply)
}

function finishReason(reply: PreparedReply): string {
  return FINISH_REASONS[reply.finishReason ?? (reply.refusal === '' ? 'stop' : 'content-filter')]
}

function usage(reply: PreparedReply): JsonObject {
  const { inputTokens, outputTokens, cachedInputTokens } = reply.usage
  return {
    billed_units: { input_tokens: inputTokens, output_tokens: outputTokens },
    tokens: { input_tokens: inputTokens, output_tokens: outputTokens },
    cached_tokens: cachedInputTokens,
  }
}
