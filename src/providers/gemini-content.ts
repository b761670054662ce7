/** Gemini's `generateContent` and `streamGenerateContent`: what a request becomes, and what their events mean. */
import { types } from 'node:util'
import { ConvokeError } from '../errors.ts'
import type { FinishReason, ReasoningEffort, ToolCallPart, ToolChoice, ToolDefinition } from '../types.ts'
import type { EventFold } from './chunk-reader.ts'
import { FunctionCalls } from './gemini-function-calls.ts'
import type { FunctionCallFields } from './gemini-function-calls.ts'
import {
  argumentsObject,
  isOwnReasoning,
  reasoningOf,
  resultText,
  signOfLife,
  warnUnsupported,
} from './mapping.ts'
import type { ChatRequest, MediaPart, ProviderChunk, ReportedUsage, RequestMessage } from './provider.ts'
import { isMadeUpId } from './tool-calls.ts'

type Fields = Record<string, unknown>
type ToolResults = Extract<RequestMessage, { role: 'tool' }>['content']

/** The body of a request, without `vendor`. */
export function contentBody(request: ChatRequest, name: string): Fields & { generationConfig: Fields } {
  const { system, tools } = request
  warnUnsupported(request, name, ['metadata'])
  return {
    contents: contents(request, name),
    systemInstruction: system ? { parts: [{ text: system }] } : undefined,
    tools: tools?.length ? [{ functionDeclarations: tools.map(declaration) }] : undefined,
    toolConfig: tools?.length ? toolConfig(request.toolChoice) : undefined,
    generationConfig: {
      maxOutputTokens: request.maxTokens,
      temperature: request.temperature,
      topP: request.topP,
      topK: request.topK,
      stopSequences: request.stop,
      seed: request.seed,
      presencePenalty: request.presencePenalty,
      frequencyPenalty: request.frequencyPenalty,
      thinkingConfig: thinkingConfig(request, name),
      ...(request.outputSchema
        ? { responseMimeType: 'application/json', responseJsonSchema: request.outputSchema }
        : {}),
    },
  }
}

/**
 * `parametersJsonSchema` and not `parameters`: the latter is a subset of OpenAPI's schemas, and Gemini refuses a
 * request for `additionalProperties`, `$ref`, `const` and more in it.
 */
function declaration({ name, description, parameters }: ToolDefinition): Fields {
  return { name, description, parametersJsonSchema: parameters }
}

function toolConfig(choice: ToolChoice | undefined): Fields | undefined {
  if (choice === undefined) return undefined
  if (typeof choice === 'object') {
    return { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: [choice.name] } }
  }
  const mode = { auto: 'AUTO', none: 'NONE', required: 'ANY' }[choice]
  return { functionCallingConfig: { mode } }
}

/** Models before Gemini 3 take thinking as a budget alone, and ask for no signatures. */
const before3 = /gemini-[12][.-]/

/**
 * Gemini's levels of thinking; the efforts above take the highest. The budgets are those that Google's own
 * OpenAI-compatible endpoint takes for the same words (https://ai.google.dev/gemini-api/docs/openai).
 */
const thinking: Readonly<Record<Exclude<ReasoningEffort, 'none'>, { level: string; budget: number }>> = {
  minimal: { level: 'MINIMAL', budget: 1_024 },
  low: { level: 'LOW', budget: 1_024 },
  medium: { level: 'MEDIUM', budget: 8_192 },
  high: { level: 'HIGH', budget: 24_576 },
  xhigh: { level: 'HIGH', budget: 24_576 },
  max: { level: 'HIGH', budget: 24_576 },
}

function thinkingConfig(request: ChatRequest, name: string): Fields | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return undefined
  if (!isOn) return { thinkingBudget: 0 }
  const change = (message: string) => request.warn({ type: 'changed', subject: 'reasoning', message })
  if (maxTokens !== undefined) {
    if (effort) change(`${name} takes a budget or an effort, not both; the effort ${effort} was left out.`)
    return { thinkingBudget: maxTokens, includeThoughts: true }
  }
  if (!effort || effort === 'none') return { includeThoughts: true }
  if (effort === 'xhigh' || effort === 'max') {
    change(`${name} has no effort ${effort}; it was asked for high.`)
  }
  const { level, budget } = thinking[effort]
  return {
    ...(before3.test(request.model) ? { thinkingBudget: budget } : { thinkingLevel: level }),
    includeThoughts: true,
  }
}

/** The turns. Results of tools stand in one turn, in the order of their calls: without ids only the order tells. */
function contents(request: ChatRequest, name: string): Fields[] {
  const turns: Fields[] = []
  let calls: string[] = []
  let results: ToolResults = []
  const addResults = () => {
    const order = (id: string) => (calls.includes(id) ? calls.indexOf(id) : calls.length)
    results.sort((a, b) => order(a.toolCallId) - order(b.toolCallId))
    if (results.length > 0) turns.push({ role: 'user', parts: results.map(functionResponse) })
    results = []
  }
  for (const message of request.messages) {
    if (message.role === 'tool') {
      results.push(...message.content)
      continue
    }
    addResults()
    if (message.role === 'user') {
      turns.push({ role: 'user', parts: message.content.map(userPart) })
      continue
    }
    calls = message.content.flatMap((part) => (part.type === 'tool-call' ? [part.id] : []))
    const parts = modelParts(message, request, name)
    // Gemini takes no turn without parts: one that held another vendor's thoughts alone is left out.
    if (parts.length > 0) turns.push({ role: 'model', parts })
  }
  addResults()
  return turns
}

function userPart(part: { type: 'text'; text: string } | MediaPart): Fields {
  if (part.type === 'text') return { text: part.text }
  return part.url === undefined
    ? { inlineData: { mimeType: part.mediaType, data: part.base64 } }
    : { fileData: { mimeType: part.mediaType, fileUri: part.url } }
}

/**
 * Stands where a signature should: Gemini 3 refuses a turn whose first call has none, and calls that another vendor or
 * an older model made have none (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
const foreignSignature = 'skip_thought_signature_validator'

/** Signatures go back on the very parts that they came with. */
function modelParts(
  message: Extract<RequestMessage, { role: 'assistant' }>,
  request: ChatRequest,
  name: string,
): Fields[] {
  const calls = message.content.filter((part) => part.type === 'tool-call')
  const isSigned = calls.some((call) => call.signature)
  const isAskedFor = request.model.includes('gemini-') && !before3.test(request.model)
  return message.content.flatMap((part): Fields[] => {
    if (part.type === 'tool-call') {
      const replacement = isAskedFor && !isSigned && part === calls[0] ? foreignSignature : undefined
      return [{ functionCall: functionCall(part), ...signed(part.signature ?? replacement) }]
    }
    if (part.type === 'reasoning' && !isOwnReasoning(part, name, request)) return []
    if (!part.text && !part.signature) return []
    const thought = part.type === 'reasoning' ? { thought: true } : {}
    return [{ text: part.text, ...thought, ...signed(part.signature) }]
  })
}

function signed(thoughtSignature: string | undefined): Fields {
  return thoughtSignature ? { thoughtSignature } : {}
}

function functionCall({ id, name, arguments: input }: ToolCallPart): Fields {
  return { ...vendorId(id), name, args: argumentsObject(input) }
}

function functionResponse({ toolCallId, name, result, isError }: ToolResults[number]): Fields {
  return { functionResponse: { ...vendorId(toolCallId), name, response: responseOf(result, isError) } }
}

/** A result as the object that Gemini wants. */
function responseOf(result: unknown, isError = false): unknown {
  if (isError) return { error: resultText(result) }
  const form = formOf(result)
  const isObject = typeof form === 'object' && form !== null && !Array.isArray(form)
  return isObject ? form : { result: form ?? null }
}

/** A date, or a boxed text, is an object whose JSON is none. */
function formOf(result: unknown): unknown {
  if (typeof result !== 'object' || result === null) return result
  const isOther = 'toJSON' in result || types.isBoxedPrimitive(result)
  return isOther ? (JSON.parse(JSON.stringify(result) ?? 'null') as unknown) : result
}

/**
 * Most of Gemini's calls have no id, and `ToolCalls` makes one up. Such an id stays here: to the vendor it would be one
 * that it never gave.
 */
function vendorId(id: string): { id?: string } {
  return isMadeUpId(id) ? {} : { id }
}

interface Candidate {
  index?: number
  content?: { role?: string; parts?: unknown } | null
  finishReason?: string | null
}

interface PartFields {
  text?: unknown
  thought?: boolean
  thoughtSignature?: string
  functionCall?: FunctionCallFields | null
}

/** Folds the events of a stream, and, as one event, a whole reply. */
export class ContentFold implements EventFold {
  readonly #name: string
  readonly #model: string
  readonly #calls: FunctionCalls
  #isStarted = false
  /** Whether an event showed a server that gives a finish reason at the end. */
  #marksEnd = false
  #finish: string | undefined
  #usage: Fields = {}
  #raw: unknown

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new FunctionCalls(name)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    this.#raw = raw
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) chunks.push(startChunk(body))
    this.#isStarted = true
    const candidates = asList(body['candidates']) as Candidate[]
    this.#throwIfBlocked(body, candidates)
    chunks.push(...this.#usageChunks(body['usageMetadata']))
    // Further candidates (vendor: { generationConfig: { candidateCount } }) are in `raw` alone.
    const candidate = candidates.find(({ index }) => !index)
    for (const part of asList(candidate?.content?.parts)) chunks.push(...this.#part(part as PartFields))
    const finish = candidate?.finishReason
    // Vertex AI writes out the default of the field.
    if (finish && finish !== 'FINISH_REASON_UNSPECIFIED') this.#finish = finish
    this.#marksEnd ||= Boolean(
      candidate?.content?.role || body['usageMetadata'] || body['modelVersion'] || body['responseId'],
    )
    // Code that runs at the vendor's, a picture: nothing to show, but a sign of life. Counts alone are none.
    return chunks.length > 0 || asList(candidate?.content?.parts).length === 0 ? chunks : [signOfLife]
  }

  /** Not a word of Gemini's, but some proxies add it. */
  done(): ProviderChunk[] {
    return []
  }

  /**
   * Text may follow a finish reason (older servers put STOP on every event), so only the end of the connection ends
   * the reply. A compromise: where neither a finish reason nor anything else that Gemini sends was seen, the end of the
   * connection counts as the end of the reply, since servers of the PaLM era give no finish reason at all. A stream of
   * theirs that breaks between two events cannot be told from a whole one.
   */
  end(isCut: boolean): ProviderChunk[] {
    const isWhole = this.#isStarted && (this.#finish !== undefined || !this.#marksEnd)
    if (isWhole && !isCut) return this.#finishChunks()
    throw new ConvokeError('stream_truncated', 'The stream ended without a finish reason.', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. Its JSON shows that it is one, so it may lack a finish reason. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    return [...this.event(body, raw), ...this.#finishChunks()]
  }

  #throwIfBlocked(body: Fields, candidates: readonly Candidate[]): void {
    const feedback = body['promptFeedback'] as Fields | null | undefined
    if (!feedback?.['blockReason'] || candidates.length > 0) return
    const detail = feedback['blockReasonMessage'] ? ` (${String(feedback['blockReasonMessage'])})` : ''
    throw new ConvokeError(
      'content_filtered',
      `Gemini blocked the prompt: ${String(feedback['blockReason'])}${detail}. Change the prompt or safetySettings.`,
      { provider: this.#name, model: this.#model },
    )
  }

  /** Counts are totals so far; the first events have some of them, or none. */
  #usageChunks(counts: unknown): ProviderChunk[] {
    if (typeof counts !== 'object' || counts === null) return []
    this.#usage = { ...this.#usage, ...counts }
    const usage = contentUsage(this.#usage)
    return Object.keys(usage).length > 0 ? [{ type: 'usage', content: '', usage }] : []
  }

  #part(part: PartFields): ProviderChunk[] {
    const { text, thought, thoughtSignature, functionCall: call } = part
    if (call) return this.#calls.add(call, thoughtSignature)
    // A signature may come on a part of its own.
    const isBare = Object.keys(part).every((key) => key === 'thought' || key === 'thoughtSignature')
    if (typeof text !== 'string' && !isBare) return []
    const content = typeof text === 'string' ? text : ''
    const signature = thoughtSignature ? { signature: thoughtSignature } : {}
    return thought
      ? [{ type: 'reasoning', content: '', reasoning: content, ...signature }]
      : [{ type: 'text', content, ...signature }]
  }

  #finishChunks(): ProviderChunk[] {
    const isCut = this.#finish !== undefined && this.#finish !== 'STOP'
    return [
      ...this.#calls.complete(isCut ? this.#finish : undefined),
      {
        type: 'finish',
        content: '',
        finishReason: finishReasonOf(this.#finish, this.#calls.size > 0),
        ...(this.#finish ? { rawFinishReason: this.#finish } : {}),
        usage: wholeUsage(this.#usage),
        raw: this.#raw,
      },
    ]
  }
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : []
}

function startChunk({ responseId: id, modelVersion: model }: Fields): ProviderChunk {
  return {
    type: 'start',
    content: '',
    ...(typeof id === 'string' ? { id } : {}),
    ...(typeof model === 'string' && model ? { model } : {}),
  }
}

/** Gemini counts the input of its own tools beside the prompt, and thoughts beside the candidates. */
function contentUsage(counts: Fields): ReportedUsage {
  const count = (key: string) => (typeof counts[key] === 'number' ? counts[key] : undefined)
  const prompt = count('promptTokenCount')
  const candidates = count('candidatesTokenCount')
  const thoughts = count('thoughtsTokenCount')
  const cached = count('cachedContentTokenCount')
  return {
    ...(prompt === undefined ? {} : { inputTokens: prompt + (count('toolUsePromptTokenCount') ?? 0) }),
    ...(candidates === undefined && thoughts === undefined
      ? {}
      : { outputTokens: (candidates ?? 0) + (thoughts ?? 0) }),
    ...(cached === undefined ? {} : { cachedInputTokens: cached }),
    ...(thoughts === undefined ? {} : { reasoningTokens: thoughts }),
  }
}

/** The usage of a whole reply: a count of 0 is left out on the wire, but the total tells. */
function wholeUsage(counts: Fields): ReportedUsage {
  const usage = contentUsage(counts)
  const total = counts['totalTokenCount']
  if (usage.outputTokens !== undefined || usage.inputTokens === undefined || typeof total !== 'number') {
    return usage
  }
  return { ...usage, outputTokens: Math.max(0, total - usage.inputTokens) }
}

function finishReasonOf(raw: string | undefined, hasCalls: boolean): FinishReason {
  switch (raw) {
    case undefined:
      return hasCalls ? 'tool-calls' : 'other'
    case 'STOP':
      return hasCalls ? 'tool-calls' : 'stop'
    case 'MAX_TOKENS':
    case 'CONTINUATION':
      return 'length'
    case 'SAFETY':
    case 'RECITATION':
    case 'LANGUAGE':
    case 'BLOCKLIST':
    case 'PROHIBITED_CONTENT':
    case 'SPII':
    case 'MODEL_ARMOR':
    case 'IMAGE_SAFETY':
    case 'IMAGE_PROHIBITED_CONTENT':
    case 'IMAGE_RECITATION':
      return 'content-filter'
    case 'MALFORMED_FUNCTION_CALL':
    case 'MALFORMED_RESPONSE':
    case 'UNEXPECTED_TOOL_CALL':
    case 'TOO_MANY_TOOL_CALLS':
      return 'error'
    default:
      return 'other'
  }
}
