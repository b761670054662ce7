/**
 * OpenAI Chat Completions (https://platform.openai.com/docs/api-reference/chat), the protocol of every
 * OpenAI-compatible server too. Reasoning goes into `reasoning_content`, as those servers have it; OpenAI itself has no
 * field for it here.
 */
import { readChatBody } from './chat-body.ts'
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { openaiError } from './openai.ts'
import { madeUpId, split, textPieces } from './prepare-reply.ts'
import type { PreparedReply } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import type { SimulatedRequest } from './types.ts'
import { dataEvent, EVENT_STREAM } from './wire-format.ts'
import type { JsonObject } from './json-value.ts'
import type { WireFormat } from './wire-format.ts'

const FINISH_REASONS = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
}

export const openaiChat: WireFormat = {
  contentType: EVENT_STREAM,
  hasComments: true,
  openingEvents: 1,
  junkEvent: 'data: {"id":"chatcmpl-junk","choices":[{"delta":{"cont\n\n',
  read: (body) => readChatBody(body, readMessage),
  json,
  events,
  errorEvent: (_reply, message) =>
    dataEvent({ error: openaiError({ status: 500, ...(message !== undefined && { message }) }) }),
}

function readMessage(message: JsonObject): WireMessage {
  const role = asString(message['role']) ?? ''
  const content = message['content']
  const text = textOf(content) + (asString(message['refusal']) ?? '')
  const calls = asObjects(message['tool_calls']).map((call) => asString(call['id']) ?? '')
  if (role === 'tool') return wireMessage(role, text, { results: [asString(message['tool_call_id']) ?? ''] })
  const hasMedia = asObjects(content).some((part) => part['type'] !== 'text')
  return wireMessage(role, text, { calls, ...(hasMedia && { isEmpty: false }) })
}

function json(reply: PreparedReply): unknown {
  const message: JsonObject = {
    role: 'assistant',
    content: hasText(reply) ? reply.text : null,
    refusal: reply.refusal === '' ? null : reply.refusal,
    annotations: [],
  }
  if (reply.reasoning !== '') message['reasoning_content'] = reply.reasoning
  if (reply.toolCalls.length > 0) message['tool_calls'] = reply.toolCalls.map((_, at) => toolCall(reply, at))
  return {
    ...head(reply, 'chat.completion'),
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason(reply) }],
    usage: usage(reply),
  }
}

function* events(reply: PreparedReply, request: SimulatedRequest): Generator<string> {
  const withUsage = wantsUsage(request.body)
  // OpenAI sends `usage: null` in every chunk when the last chunk is going to carry the counts.
  const start = head(reply, 'chat.completion.chunk')
  const end = withUsage && { usage: null }
  const chunk = (delta: JsonObject, finish_reason: string | null = null) =>
    dataEvent({ ...start, choices: [{ index: 0, delta, logprobs: null, finish_reason }], ...end })
  yield chunk({ role: 'assistant', content: hasText(reply) ? '' : null, refusal: null })
  for (const piece of split(reply.reasoning, reply.chunkSize)) yield chunk({ reasoning_content: piece })
  for (const piece of split(reply.refusal, reply.chunkSize)) yield chunk({ refusal: piece })
  for (const piece of textPieces(reply)) yield chunk({ content: piece })
  for (const [index, call] of reply.toolCalls.entries()) {
    const opened = { ...toolCall(reply, index), function: { name: call.name, arguments: '' } }
    yield chunk({ tool_calls: [{ index, ...opened }] })
    for (const piece of split(call.json, reply.chunkSize)) {
      yield chunk({ tool_calls: [{ index, function: { arguments: piece } }] })
    }
  }
  yield chunk({}, finishReason(reply))
  if (withUsage) yield dataEvent({ ...start, choices: [], usage: usage(reply) })
  yield 'data: [DONE]\n\n'
}

function head(reply: PreparedReply, object: string): JsonObject {
  return {
    id: reply.id ?? madeUpId('chatcmpl-', reply),
    object,
    created: Math.floor(reply.createdMs / 1000),
    model: reply.model,
    service_tier: 'default',
    system_fingerprint: 'fp_simulator',
  }
}

function toolCall(reply: PreparedReply, at: number): JsonObject {
  const call = reply.toolCalls[at]
  return {
    id: call?.id ?? madeUpId('call_', reply, at),
    type: 'function',
    function: { name: call?.name, arguments: call?.json },
  }
}

/** False for a reply of nothing but tool calls or a refusal, whose `content` is null instead of an empty text. */
function hasText(reply: PreparedReply): boolean {
  return reply.text !== '' || (reply.toolCalls.length === 0 && reply.refusal === '')
}

function finishReason(reply: PreparedReply): string {
  return FINISH_REASONS[reply.finishReason ?? 'stop']
}

function usage(reply: PreparedReply): JsonObject {
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = reply.usage
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}

function wantsUsage(body: unknown): boolean {
  const options = isObject(body) ? body['stream_options'] : undefined
  return isObject(options) && options['include_usage'] === true
}
