/**
 * Anthropic Messages (https://docs.anthropic.com/en/api/messages-streaming).
 *
 * Room `simulator`: a server that speaks the protocols of the vendors, and knows nothing of the library. Nothing
 * imports it.
 */
import { anthropicError } from './anthropic.ts'
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { madeUpId, split, textPieces } from './prepare-reply.ts'
import type { PreparedReply, PreparedToolCall } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import { EVENT_STREAM, namedEvent } from './wire-format.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation, WireFormat } from './wire-format.ts'

const STOP_REASONS = {
  stop: 'end_turn',
  length: 'max_tokens',
  'tool-calls': 'tool_use',
  'content-filter': 'refusal',
}

/** The signature of reasoning whose script has none, because Anthropic signs all thinking. */
const DEFAULT_SIGNATURE = 'EqoBCkgIAxABGAIiQHNpbXVsYXRlZC1zaWduYXR1cmUtb2YtdGhpbmtpbmc='

/** Fields of the usage in a whole message and in `message_start`, but not in `message_delta`. */
const CACHE_CREATION = {
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  service_tier: 'standard',
}

export const anthropicMessages: WireFormat = {
  contentType: EVENT_STREAM,
  hasComments: true,
  openingEvents: 3,
  junkEvent: 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n',
  read,
  json,
  events,
  errorEvent: (_reply, message) =>
    namedEvent('error', {
      type: 'error',
      error: anthropicError({ status: 529, ...(message !== undefined && { message }) }),
    }),
}

function read(body: JsonObject): Conversation {
  const system = body['system']
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] === true,
    system: typeof system === 'string' ? [system] : asObjects(system).map(textOf),
    messages: asObjects(body['messages']).flatMap(readMessage),
    tools: asObjects(body['tools']).map((tool) => asString(tool['name']) ?? ''),
  }
}

/** Anthropic puts the results of tools into a user message, next to its text. They become a message of their own. */
function readMessage(message: JsonObject): WireMessage[] {
  const role = asString(message['role']) ?? ''
  const content = message['content']
  if (typeof content === 'string') return [wireMessage(role, content)]
  const blocks = asObjects(content)
  const results = blocks.filter((block) => block['type'] === 'tool_result')
  const others = blocks.filter((block) => block['type'] !== 'tool_result')
  const calls = others.filter((block) => block['type'] === 'tool_use')
  const spoken = wireMessage(role, textOf(others), { calls: ids(calls, 'id'), isEmpty: isEmpty(others) })
  if (results.length === 0) return [spoken]
  const text = results.map((block) => textOf(block['content'])).join('')
  const answered = wireMessage('tool', text, { results: ids(results, 'tool_use_id') })
  if (others.length === 0) return [answered]
  // Anthropic refuses results after a text. The order is kept, so that such a text separates a call from its result.
  return blocks[0]?.['type'] === 'tool_result' ? [answered, spoken] : [spoken, answered]
}

function ids(blocks: JsonObject[], field: string): string[] {
  return blocks.map((block) => asString(block[field]) ?? '')
}

/** Anthropic refuses an empty text block even next to other blocks. */
function isEmpty(blocks: JsonObject[]): boolean {
  const isBlank = (block: JsonObject) => block['type'] === 'text' && textOf(block).trim() === ''
  return blocks.length === 0 || blocks.some(isBlank)
}

function json(reply: PreparedReply): unknown {
  const content: JsonObject[] = []
  if (reply.reasoning !== '') {
    content.push({ type: 'thinking', thinking: reply.reasoning, signature: signature(reply) })
  }
  const text = reply.text + reply.refusal
  if (text !== '') content.push({ type: 'text', text })
  for (const [index, call] of reply.toolCalls.entries()) {
    content.push({ ...toolUse(reply, call, index), input: isObject(call.value) ? call.value : {} })
  }
  return {
    ...head(reply),
    content,
    stop_reason: stopReason(reply),
    usage: { ...usage(reply), ...CACHE_CREATION, output_tokens: reply.usage.outputTokens },
  }
}

function* events(reply: PreparedReply): Generator<string> {
  const message = { ...head(reply), usage: { ...usage(reply), ...CACHE_CREATION, output_tokens: 1 } }
  yield namedEvent('message_start', { type: 'message_start', message })
  let isFirst = true
  for (const [index, block] of blocks(reply).entries()) {
    yield namedEvent('content_block_start', {
      type: 'content_block_start',
      index,
      content_block: block.start,
    })
    if (isFirst) yield namedEvent('ping', { type: 'ping' })
    isFirst = false
    for (const delta of block.deltas()) {
      yield namedEvent('content_block_delta', { type: 'content_block_delta', index, delta })
    }
    yield namedEvent('content_block_stop', { type: 'content_block_stop', index })
  }
  yield namedEvent('message_delta', {
    type: 'message_delta',
    delta: { stop_reason: stopReason(reply), stop_sequence: null },
    usage: { ...usage(reply), output_tokens: reply.usage.outputTokens },
  })
  yield namedEvent('message_stop', { type: 'message_stop' })
}

interface Block {
  start: JsonObject
  deltas(): Iterable<JsonObject>
}

function blocks(reply: PreparedReply): Block[] {
  const all: Block[] = []
  if (reply.reasoning !== '') {
    all.push({
      start: { type: 'thinking', thinking: '', signature: '' },
      deltas: () => thinkingDeltas(reply),
    })
  }
  if (reply.text !== '' || reply.refusal !== '' || reply.chunks !== undefined) {
    all.push({ start: { type: 'text', text: '' }, deltas: () => textDeltas(reply) })
  }
  for (const [index, call] of reply.toolCalls.entries()) {
    all.push({
      start: { ...toolUse(reply, call, index), input: {} },
      deltas: () => inputDeltas(reply, call),
    })
  }
  return all
}

function* thinkingDeltas(reply: PreparedReply): Generator<JsonObject> {
  for (const thinking of split(reply.reasoning, reply.chunkSize)) yield { type: 'thinking_delta', thinking }
  yield { type: 'signature_delta', signature: signature(reply) }
}

function* textDeltas(reply: PreparedReply): Generator<JsonObject> {
  for (const text of textPieces(reply)) yield { type: 'text_delta', text }
  for (const text of split(reply.refusal, reply.chunkSize)) yield { type: 'text_delta', text }
}

/** Anthropic begins the input with an empty delta, and sends nothing else for a call without arguments. */
function* inputDeltas(reply: PreparedReply, call: PreparedToolCall): Generator<JsonObject> {
  yield { type: 'input_json_delta', partial_json: '' }
  if (call.json === '{}') return
  for (const partial_json of split(call.json, reply.chunkSize)) {
    yield { type: 'input_json_delta', partial_json }
  }
}

function head(reply: PreparedReply): JsonObject {
  return {
    id: reply.id ?? madeUpId('msg_', reply),
    type: 'message',
    role: 'assistant',
    model: reply.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  }
}

function toolUse(reply: PreparedReply, call: PreparedToolCall, index: number): JsonObject {
  return { type: 'tool_use', id: call.id ?? madeUpId('toolu_', reply, index), name: call.name }
}

function signature(reply: PreparedReply): string {
  return reply.signature ?? DEFAULT_SIGNATURE
}

function stopReason(reply: PreparedReply): string {
  return STOP_REASONS[reply.finishReason ?? (reply.refusal === '' ? 'stop' : 'content-filter')]
}

/** Anthropic does not include cached tokens in the input tokens. */
function usage(reply: PreparedReply): JsonObject {
  const { inputTokens, cachedInputTokens } = reply.usage
  return {
    input_tokens: Math.max(0, inputTokens - cachedInputTokens),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedInputTokens,
  }
}
