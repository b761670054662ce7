/** OpenAI Responses (https://platform.openai.com/docs/api-reference/responses). */
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { openaiError } from './openai.ts'
import { madeUpId, split, textPieces } from './prepare-reply.ts'
import type { PreparedReply } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import type { SimulatedRequest } from './types.ts'
import { EVENT_STREAM, namedEvent } from './wire-format.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation, WireFormat } from './wire-format.ts'

type Item = JsonObject & { id: string }
type Emit = (type: string, data: JsonObject) => string

const SYSTEM_ROLES = new Set<unknown>(['system', 'developer'])

export const openaiResponses: WireFormat = {
  contentType: EVENT_STREAM,
  hasComments: true,
  openingEvents: 4,
  junkEvent: 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","del\n\n',
  read,
  json: (reply, request) => responseObject(reply, request, endStatus(reply), items(reply)),
  events,
  errorEvent,
}

function read(body: JsonObject): Conversation {
  const input = body['input']
  const inputItems = asObjects(typeof input === 'string' ? [{ role: 'user', content: input }] : input)
  const instructions = asString(body['instructions'])
  const systemItems = inputItems.filter((item) => SYSTEM_ROLES.has(item['role']))
  const messages: WireMessage[] = []
  for (const item of inputItems) {
    if (!SYSTEM_ROLES.has(item['role'])) readItem(item, messages)
  }
  return {
    model: asString(body['model']) ?? '',
    stream: body['stream'] === true,
    system: [
      ...(instructions === undefined ? [] : [instructions]),
      ...systemItems.map((item) => textOf(item['content'])),
    ],
    messages,
    isContinuation: typeof body['previous_response_id'] === 'string',
    tools: asObjects(body['tools']).map((tool) => asString(tool['name']) ?? asString(tool['type']) ?? ''),
  }
}

/**
 * Adds an item to the messages. A text and its calls are separate items here; they become one message of the assistant.
 */
function readItem(item: JsonObject, messages: WireMessage[]): void {
  const type = item['type'] ?? 'message'
  const last = messages.at(-1)
  if (type === 'function_call') {
    const call = asString(item['call_id']) ?? ''
    if (last?.role !== 'assistant') {
      messages.push(wireMessage('assistant', '', { calls: [call] }))
    } else {
      last.calls.push(call)
      last.isEmpty = false
    }
  } else if (type === 'function_call_output') {
    messages.push(wireMessage('tool', textOf(item['output']), { results: [asString(item['call_id']) ?? ''] }))
  } else if (type === 'message') {
    const hasMedia = asObjects(item['content']).some((part) => !/text|refusal/.test(String(part['type'])))
    const text = textOf(item['content']) + refusalOf(item['content'])
    messages.push(wireMessage(asString(item['role']) ?? '', text, hasMedia ? { isEmpty: false } : {}))
  }
}

function refusalOf(content: unknown): string {
  return asObjects(content)
    .map((part) => asString(part['refusal']) ?? '')
    .join('')
}

function* events(reply: PreparedReply, request: SimulatedRequest): Generator<string> {
  let sequence_number = 0
  const emit: Emit = (type, data) => namedEvent(type, { type, sequence_number: sequence_number++, ...data })
  yield emit('response.created', { response: responseObject(reply, request, 'in_progress', []) })
  yield emit('response.in_progress', { response: responseObject(reply, request, 'in_progress', []) })
  const all = items(reply)
  for (const [output_index, item] of all.entries()) {
    if (item['type'] === 'reasoning') yield* reasoningEvents(reply, item, output_index, emit)
    else if (item['type'] === 'message') yield* messageEvents(reply, item, output_index, emit)
    else yield* callEvents(reply, item, output_index, emit)
    yield emit('response.output_item.done', { output_index, item })
  }
  const status = endStatus(reply)
  yield emit(`response.${status}`, { response: responseObject(reply, request, status, all) })
}

function* reasoningEvents(
  reply: PreparedReply,
  item: Item,
  output_index: number,
  emit: Emit,
): Generator<string> {
  const position = { item_id: item.id, output_index, summary_index: 0 }
  const opened = { id: item.id, type: 'reasoning', summary: [] }
  yield emit('response.output_item.added', { output_index, item: opened })
  const part = (text: string) => ({ ...position, part: { type: 'summary_text', text } })
  yield emit('response.reasoning_summary_part.added', part(''))
  for (const delta of split(reply.reasoning, reply.chunkSize)) {
    yield emit('response.reasoning_summary_text.delta', { ...position, delta })
  }
  yield emit('response.reasoning_summary_text.done', { ...position, text: reply.reasoning })
  yield emit('response.reasoning_summary_part.done', part(reply.reasoning))
}

function* messageEvents(
  reply: PreparedReply,
  item: Item,
  output_index: number,
  emit: Emit,
): Generator<string> {
  yield emit('response.output_item.added', {
    output_index,
    item: { ...item, status: 'in_progress', content: [] },
  })
  for (const [content_index, part] of asObjects(item['content']).entries()) {
    const position = { item_id: item.id, output_index, content_index }
    const isRefusal = part['type'] === 'refusal'
    const empty = isRefusal ? { ...part, refusal: '' } : { ...part, text: '' }
    yield emit('response.content_part.added', { ...position, part: empty })
    if (isRefusal) {
      for (const delta of split(reply.refusal, reply.chunkSize)) {
        yield emit('response.refusal.delta', { ...position, delta })
      }
      yield emit('response.refusal.done', { ...position, refusal: reply.refusal })
    } else {
      for (const delta of textPieces(reply)) {
        yield emit('response.output_text.delta', { ...position, delta, logprobs: [] })
      }
      yield emit('response.output_text.done', { ...position, text: reply.text, logprobs: [] })
    }
    yield emit('response.content_part.done', { ...position, part })
  }
}

function* callEvents(reply: PreparedReply, item: Item, output_index: number, emit: Emit): Generator<string> {
  const position = { item_id: item.id, output_index }
  const opened = { ...item, status: 'in_progress', arguments: '' }
  yield emit('response.output_item.added', { output_index, item: opened })
  const argumentsText = asString(item['arguments']) ?? ''
  for (const delta of split(argumentsText, reply.chunkSize)) {
    yield emit('response.function_call_arguments.delta', { ...position, delta })
  }
  yield emit('response.function_call_arguments.done', {
    ...position,
    name: item['name'],
    arguments: argumentsText,
  })
}

/** OpenAI sends the error, and then a final response object that repeats it. */
function errorEvent(reply: PreparedReply, message?: string): string {
  const error = openaiError({ status: 500, ...(message !== undefined && { message }) })
  const failed = {
    ...responseObject(reply, undefined, 'failed', []),
    error: { code: 'server_error', message: error['message'] },
  }
  // OpenAI continues its sequence numbers here. No client is known to read them after an error.
  return (
    namedEvent('error', { type: 'error', sequence_number: 0, error }) +
    namedEvent('response.failed', { type: 'response.failed', sequence_number: 1, response: failed })
  )
}

/** The complete output items: reasoning, message, function calls. */
function items(reply: PreparedReply): Item[] {
  const status = endStatus(reply)
  const all: Item[] = []
  if (reply.reasoning !== '' || reply.signature !== undefined) all.push(reasoningItem(reply))
  const content: JsonObject[] = []
  if (reply.text !== '' || (reply.refusal === '' && reply.toolCalls.length === 0)) {
    content.push({ type: 'output_text', annotations: [], logprobs: [], text: reply.text })
  }
  if (reply.refusal !== '') content.push({ type: 'refusal', refusal: reply.refusal })
  if (content.length > 0) {
    all.push({ id: madeUpId('msg_', reply), type: 'message', status, role: 'assistant', content })
  }
  for (const [index, call] of reply.toolCalls.entries()) {
    all.push({
      id: madeUpId('fc_', reply, index),
      type: 'function_call',
      status,
      call_id: call.id ?? madeUpId('call_', reply, index),
      name: call.name,
      arguments: call.json,
    })
  }
  return all
}

function reasoningItem(reply: PreparedReply): Item {
  return {
    id: madeUpId('rs_', reply),
    type: 'reasoning',
    summary: reply.reasoning === '' ? [] : [{ type: 'summary_text', text: reply.reasoning }],
    ...(reply.signature !== undefined && { encrypted_content: reply.signature }),
  }
}

function endStatus(reply: PreparedReply): 'completed' | 'incomplete' {
  const isCut = reply.finishReason === 'length' || reply.finishReason === 'content-filter'
  return isCut ? 'incomplete' : 'completed'
}

function responseObject(
  reply: PreparedReply,
  request: SimulatedRequest | undefined,
  status: 'in_progress' | 'completed' | 'incomplete' | 'failed',
  output: Item[],
): JsonObject {
  const body = isObject(request?.body) ? request.body : {}
  const reason = reply.finishReason === 'length' ? 'max_output_tokens' : 'content_filter'
  const isEnded = status === 'completed' || status === 'incomplete'
  const createdAt = Math.floor(reply.createdMs / 1000)
  return {
    id: reply.id ?? madeUpId('resp_', reply),
    object: 'response',
    created_at: createdAt,
    status,
    background: false,
    completed_at: status === 'completed' ? createdAt : null,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason } : null,
    instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null,
    max_tool_calls: null,
    model: reply.model,
    output,
    parallel_tool_calls: body['parallel_tool_calls'] ?? true,
    previous_response_id: body['previous_response_id'] ?? null,
    reasoning: body['reasoning'] ?? { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'default',
    store: body['store'] ?? true,
    temperature: body['temperature'] ?? 1,
    text: body['text'] ?? { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: body['tool_choice'] ?? 'auto',
    tools: body['tools'] ?? [],
    top_logprobs: 0,
    top_p: body['top_p'] ?? 1,
    truncation: 'disabled',
    usage: isEnded ? usage(reply) : null,
    user: null,
    metadata: body['metadata'] ?? {},
  }
}

function usage(reply: PreparedReply): JsonObject {
  const { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } = reply.usage
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedInputTokens },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  }
}
