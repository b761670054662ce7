/** Turns what a user scripts into one complete form that every wire format can render. */
import { parseJson } from './json-value.ts'
import type {
  Reply,
  ScriptedReply,
  ScriptedToolCall,
  SimulatedFinishReason,
  SimulatedRequest,
} from './types.ts'

/** Token counts, all known; see `ScriptedUsage` for what includes what. */
export interface PreparedUsage {
  inputTokens: number
  outputTokens: number
  cachedInputTokens: number
  reasoningTokens: number
}

/** A tool call whose arguments are both the text to send and, where that is JSON, its value. */
export interface PreparedToolCall {
  id: string | undefined
  name: string
  json: string
  /** Undefined where `json` does not parse. */
  value: unknown
}

/** A reply with nothing left to decide but the vendor's own words. */
export interface PreparedReply {
  id: string | undefined
  /** Makes up ids that differ between replies and are the same when rendered twice. */
  serial: number
  model: string
  /** Milliseconds since 1970. */
  createdMs: number
  text: string
  /** The exact pieces of `text`, where the script gives them. */
  chunks: readonly string[] | undefined
  reasoning: string
  signature: string | undefined
  refusal: string
  toolCalls: PreparedToolCall[]
  finishReason: SimulatedFinishReason | undefined
  usage: PreparedUsage
  chunkSize: number
}

/** Completes a checked reply for a request; `inputLength` is the conversation's length in characters. */
export function prepareReply(
  reply: Reply,
  request: SimulatedRequest,
  inputLength: number,
  chunkSize: number,
): PreparedReply {
  const script = hasContent(reply) ? asScript(reply) : { ...asScript(reply), text: defaultText(request) }
  const text = script.chunks?.join('') ?? script.text ?? ''
  const reasoning = script.reasoning ?? ''
  const toolCalls = (script.toolCalls ?? []).map(prepareToolCall)
  const written = text + (script.refusal ?? '') + toolCalls.map((call) => call.name + call.json).join('')
  return {
    id: script.id,
    serial: request.number,
    model: script.model ?? request.model,
    createdMs: Date.now(),
    text,
    chunks: script.chunks,
    reasoning,
    signature: script.signature,
    refusal: script.refusal ?? '',
    toolCalls,
    finishReason: script.finishReason ?? (toolCalls.length > 0 ? 'tool-calls' : undefined),
    usage: prepareUsage(script, inputLength, written.length, reasoning.length),
    chunkSize: script.chunkSize ?? chunkSize,
  }
}

/** The reply as a script, whatever form it was given in. */
export function asScript(reply: Reply): ScriptedReply {
  return typeof reply === 'string' ? { text: reply } : reply
}

/** A plain estimate of tokens; the vendors' tokenizers are not simulated. */
export function estimateTokens(characters: number): number {
  return Math.ceil(characters / 4)
}

/** The visible text in the pieces that a stream carries, one per event. */
export function textPieces(reply: PreparedReply): Iterable<string> {
  return reply.chunks ?? split(reply.text, reply.chunkSize)
}

/** Cuts a text every `size` code points; a surrogate pair stays whole. */
export function* split(text: string, size: number): Generator<string> {
  let start = 0
  while (start < text.length) {
    let end = start
    for (let count = 0; count < size && end < text.length; count++) {
      end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1
    }
    yield text.slice(start, end)
    start = end
  }
}

/** An id in a vendor's style, the same for the same reply, part and prefix. */
export function madeUpId(prefix: string, reply: PreparedReply, part = 0): string {
  const digits = String(reply.serial).padStart(8, '0') + String(part).padStart(4, '0')
  return `${prefix}Simulated${digits}`
}

function hasContent(reply: Reply): boolean {
  if (typeof reply === 'string') return true
  return [reply.text, reply.chunks, reply.reasoning, reply.refusal, reply.toolCalls].some(
    (field) => field !== undefined,
  )
}

function defaultText(request: SimulatedRequest): string {
  const name = request.model === '' ? 'a simulated model' : `${request.model}, simulated`
  return `Hello! I am ${name}. You said: ${request.prompt}`
}

function prepareToolCall(call: ScriptedToolCall): PreparedToolCall {
  const given = call.arguments ?? {}
  const json = typeof given === 'string' ? given : JSON.stringify(given)
  return { id: call.id, name: call.name, json, value: parseJson(json) }
}

function prepareUsage(
  script: ScriptedReply,
  inputLength: number,
  writtenLength: number,
  reasoningLength: number,
): PreparedUsage {
  const reasoningTokens = script.usage?.reasoningTokens ?? estimateTokens(reasoningLength)
  return {
    inputTokens: script.usage?.inputTokens ?? estimateTokens(inputLength),
    outputTokens: script.usage?.outputTokens ?? estimateTokens(writtenLength) + reasoningTokens,
    cachedInputTokens: script.usage?.cachedInputTokens ?? 0,
    reasoningTokens,
  }
}
