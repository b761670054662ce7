/** Gemini generateContent and streamGenerateContent (https://ai.google.dev/api/generate-content). */
import { geminiError } from './gemini.ts'
import { asObjects, asString, isObject, textOf } from './json-value.ts'
import { estimateTokens, madeUpId, split, textPieces } from './prepare-reply.ts'
import type { PreparedReply, PreparedToolCall } from './prepare-reply.ts'
import { wireMessage } from './wire-message.ts'
import type { WireMessage } from './wire-message.ts'
import type { JsonObject } from './json-value.ts'
import type { Conversation, WireFormat } from './wire-format.ts'

const FINISH_REASONS = {
  stop: 'STOP',
  length: 'MAX_TOKENS',
  'tool-calls': 'STOP', // Gemini has no finish reason for this case
  'content-filter': 'SAFETY',
}

export const geminiGenerate: WireFormat = {
  contentType: 'text/event-stream',
  hasComments: true,
  openingEvents: 0,
  junkEvent: 'data: {"candidates": [{"content": {"par\r\n\r\n',
  read,
  json: (reply) => response(reply, wholeParts(reply), candidateTokens(reply), true),
  events: (reply) => frames(reply, dataFrame),
  errorEvent: (_reply, message) => dataFrame(errorObject(message)),
}

/** Without `alt=sse` Gemini streams one JSON array, element by element. */
export const geminiGenerateArray: WireFormat = {
  ...geminiGenerate,
  contentType: 'application/json; charset=UTF-8',
  hasComments: false,
  junkEvent: ',\r\n{"candidates": [{"content": {"par',
  events: arrayFrames,
  errorEvent: (_reply, message) => `,\r\n${googleJson(errorObject(message))}]`,
}

function read(body: JsonObject): Conversation {
  const system = body['systemInstruction'] ?? body['system_instruction']
  const contents = body['contents']
  return {
    stream: false, // the path decides, not the body
    system: system === undefined ? [] : [isObject(system) ? textOf(system['parts']) : textOf(system)],
    messages: asObjects(Array.isArray(contents) ? contents : [contents]).map(readContent),
    tools: asObjects(body['tools']).flatMap((tool) =>
      asObjects(tool['functionDeclarations'] ?? tool['function_declarations']).map(
        (declaration) => asString(declaration['name']) ?? '',
      ),
    ),
  }
}

function readContent(content: JsonObject): WireMessage {
  const parts = asObjects(content['parts'])
  const calls = keys(parts, 'functionCall')
  const results = keys(parts, 'functionResponse')
  const visible = parts.filter((part) => part['thought'] !== true)
  const isMedia = (part: JsonObject) => part['inlineData'] !== undefined || part['fileData'] !== undefined
  const role = results.length > 0 ? 'tool' : (asString(content['role']) ?? 'user')
  const resultTexts = asObjects(parts.map((part) => part['functionResponse'])).map((result) =>
    JSON.stringify(result['response'] ?? {}),
  )
  return wireMessage(role, textOf(visible) + resultTexts.join(''), {
    calls,
    results,
    ...(parts.some(isMedia) && { isEmpty: false }),
  })
}

/** Gemini matches a result with its call by the id when there is one, else by the name. */
function keys(parts: JsonObject[], field: string): string[] {
  return asObjects(parts.map((part) => part[field])).map(
    (call) => asString(call['id']) ?? asString(call['name']) ?? '',
  )
}

function* frames(reply: PreparedReply, frame: (data: unknown) => string): Generator<string> {
  let visible = 0
  for (const part of parts(reply)) {
    visible += part['thought'] === true ? 0 : textOf(part).length
    const tokensSoFar = Math.min(estimateTokens(visible), candidateTokens(reply))
    yield frame(response(reply, [part], tokensSoFar, false))
  }
  // A signature without a call is on an empty text at the end.
  const last = { text: '', ...(reply.toolCalls.length === 0 && signature(reply)) }
  yield frame(response(reply, [last], candidateTokens(reply), true))
}

function* arrayFrames(reply: PreparedReply): Generator<string> {
  let before = '['
  for (const text of frames(reply, googleJson)) {
    yield before + text
    before = ',\r\n'
  }
  yield ']'
}

/** The parts of a stream, one per event: thoughts, text, function calls. */
function* parts(reply: PreparedReply): Generator<JsonObject> {
  for (const text of split(reply.reasoning, reply.chunkSize)) yield { text, thought: true }
  for (const text of textPieces(reply)) yield { text }
  for (const text of split(reply.refusal, reply.chunkSize)) yield { text }
  yield* callParts(reply)
}

function wholeParts(reply: PreparedReply): JsonObject[] {
  const calls = callParts(reply)
  const text = reply.text + reply.refusal
  const all: JsonObject[] = []
  if (reply.reasoning !== '') all.push({ text: reply.reasoning, thought: true })
  if (text !== '' || calls.length === 0) {
    all.push({ text, ...(reply.toolCalls.length === 0 && signature(reply)) })
  }
  return [...all, ...calls]
}

function callParts(reply: PreparedReply): JsonObject[] {
  return reply.toolCalls
    .filter((call) => isObject(call.value))
    .map((call, index) => functionCall(reply, call, index))
}

function functionCall(reply: PreparedReply, call: PreparedToolCall, index: number): JsonObject {
  return {
    functionCall: { name: call.name, args: call.value, ...(call.id !== undefined && { id: call.id }) },
    // Gemini signs only the first of several parallel calls.
    ...(index === 0 && signature(reply)),
  }
}

function signature(reply: PreparedReply): JsonObject {
  return reply.signature === undefined ? {} : { thoughtSignature: reply.signature }
}

function response(
  reply: PreparedReply,
  parts: JsonObject[],
  candidatesTokenCount: number,
  isLast: boolean,
): JsonObject {
  const finishReason = isLast ? { finishReason: finishReasonOf(reply) } : undefined
  return {
    candidates: [{ content: { parts, role: 'model' }, ...finishReason, index: 0 }],
    usageMetadata: usageMetadata(reply, candidatesTokenCount),
    modelVersion: reply.model,
    responseId: reply.id ?? madeUpId('', reply),
  }
}

function finishReasonOf(reply: PreparedReply): string {
  const isMalformed = reply.toolCalls.some((call) => !isObject(call.value))
  if (isMalformed && reply.finishReason === 'tool-calls') return 'MALFORMED_FUNCTION_CALL'
  return FINISH_REASONS[reply.finishReason ?? (reply.refusal === '' ? 'stop' : 'content-filter')]
}

/** Gemini counts thoughts separately from the candidates, and both in the total. */
function usageMetadata(reply: PreparedReply, candidatesTokenCount: number): JsonObject {
  const { inputTokens, cachedInputTokens, reasoningTokens } = reply.usage
  return {
    promptTokenCount: inputTokens,
    candidatesTokenCount,
    totalTokenCount: inputTokens + candidatesTokenCount + reasoningTokens,
    ...(cachedInputTokens > 0 && { cachedContentTokenCount: cachedInputTokens }),
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: inputTokens }],
    ...(reasoningTokens > 0 && { thoughtsTokenCount: reasoningTokens }),
  }
}

function candidateTokens(reply: PreparedReply): number {
  return Math.max(0, reply.usage.outputTokens - reply.usage.reasoningTokens)
}

function errorObject(message: string | undefined): JsonObject {
  return { error: geminiError({ status: 503, ...(message !== undefined && { message }) }) }
}

function dataFrame(data: unknown): string {
  return `data: ${googleJson(data)}\r\n\r\n`
}

/**
 * Google's servers escape characters that are dangerous in HTML or JavaScript. Clients depend on it:
 * @google/generative-ai cannot read a raw U+2028.
 */
function googleJson(data: unknown): string {
  return JSON.stringify(data).replace(
    /[<>\u2028\u2029]/g,
    (character) => '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0'),
  )
}
