/** Completes a scripted reply, so that every wire format can render it. */
import { parseJson } from './json-value.ts'
import type {
  Reply,
  ScriptedReply,
  ScriptedToolCall,
  SimulatedFinishReason,
  SimulatedRequest,
} from './types.ts'

/** Token counts without gaps. `ScriptedUsage` says which of them include which. */
interface PreparedUsage {
  inputTokens: number
  outputTokens: number
  cachedInputTokens: number
  reasoningTokens: number
}

/** A tool call, with its arguments both as text and as a value. */
export interface PreparedToolCall {
  id: string | undefined
  name: string
  /** The text to send, which may be cut off. */
  json: string
  /** The parsed arguments; undefined when `json` does not parse. */
  value: unknown
}

/** A reply in which only the vendor's format is left to decide. */
export interface PreparedReply {
  id: string | undefined
  /**
   * The number of the request. Made-up ids contain it, so they differ between replies, but not between two renderings.
   */
  serial: number
  model: string
  /** Milliseconds since 1970. */
  createdMs: number
  text: string
  /** The exact pieces of `text`, when the script gives them. */
  chunks: readonly string[] | undefined
  reasoning: string
  signature: string | undefined
  refusal: string
  toolCalls: PreparedToolCall[]
  finishReason: SimulatedFinishReason | undefined
  usage: PreparedUsage
  chunkSize: number
}

/**
 * Completes a checked reply for a request.
 * @param inputLength the length of the conversation, in characters
 * @param chunkSize the simulator's chunk size, for a reply without its own
 */
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

/** The reply as a script, also when it was given as a string. */
export function asScript(reply: Reply): ScriptedReply {
  return typeof reply === 'string' ? { text: reply } : reply
}

/** Estimates tokens as a quarter of the characters. The vendors' tokenizers are not simulated. */
export function estimateTokens(characters: number): number {
  return Math.ceil(characters / 4)
}

/** The visible text in pieces, one per stream event. */
export function textPieces(reply: PreparedReply): Iterable<string> {
  return reply.chunks ?? split(reply.text, reply.chunkSize)
}

/** Cuts a text into pieces of `size` code points. Surrogate pairs stay whole. */
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

/** Makes up an id in a vendor's style. It is the same for the same prefix, reply and part. */
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
