/** Cohere's Chat API, version 2: what a request becomes, and what its events and replies mean. */
import { ConvokeError } from '../errors.ts'
import { readFault, replyError } from '../transport/fault.ts'
import type { FinishReason, ToolChoice } from '../types.ts'
import type { EventFold } from './chunk-reader.ts'
import {
  argumentsText,
  dataUrl,
  isOwnReasoning,
  reasoningOf,
  refuse,
  resultText,
  signOfLife,
  toolParameters,
  warnUnsupported,
} from './mapping.ts'
import type { ChatRequest, MediaPart, ProviderChunk, ReportedUsage, RequestMessage } from './provider.ts'
import { ToolCalls } from './tool-calls.ts'

type Fields = Record<string, unknown>

/** A request as the SDK takes it: in camelCase, which it turns into the wire's snake case. */
export function chatRequest(request: ChatRequest, name: string): Fields {
  warnUnsupported(request, name, ['metadata'])
  const { tools } = request
  const body = withoutUndefined({
    model: request.model,
    messages: [
      ...(request.system === undefined ? [] : [{ role: 'system', content: request.system }]),
      ...request.messages.flatMap((message) => chatMessages(message, request, name)),
    ],
    temperature: request.temperature,
    maxTokens: request.maxTokens,
    p: request.topP,
    k: request.topK,
    frequencyPenalty: request.frequencyPenalty,
    presencePenalty: request.presencePenalty,
    stopSequences: request.stop,
    seed: request.seed,
    tools: tools?.map((tool) => ({
      type: 'function',
      function: withoutUndefined({
        name: tool.name,
        description: tool.description,
        parameters: toolParameters(tool),
      }),
    })),
    strictTools: strictTools(request, name),
    toolChoice: tools && toolChoice(request.toolChoice, request, name),
    thinking: thinking(request, name),
    responseFormat: request.outputSchema && { type: 'json_object', jsonSchema: request.outputSchema },
  })
  return withVendorFields(body, request.vendor)
}

/** The SDK would write a field that is undefined as null. */
function withoutUndefined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** The SDK lets keys that it does not know pass as they are, so a field of `vendor` wins in either spelling. */
function withVendorFields(body: Fields, vendor: Fields = {}): Fields {
  const camelCase = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  for (const key of Object.keys(vendor)) delete body[camelCase(key)]
  return { ...body, ...vendor }
}

/** Cohere holds all tools to their schemas, or none. */
function strictTools({ tools, warn }: ChatRequest, name: string): true | undefined {
  if (!tools?.some((tool) => tool.strict)) return undefined
  if (tools.every((tool) => tool.strict)) return true
  warn({
    type: 'changed',
    subject: 'tools',
    message: `${name} takes strict for all tools or none; it was left out. Set it on every tool.`,
  })
  return undefined
}

function toolChoice(choice: ToolChoice | undefined, request: ChatRequest, name: string): string | undefined {
  switch (choice) {
    case undefined:
    case 'auto':
      return undefined
    case 'none':
      return 'NONE'
    case 'required':
      return 'REQUIRED'
    default:
      refuse(
        name,
        request.model,
        `Cohere cannot be made to call the tool ${choice.name}. Pass that tool alone, with toolChoice: 'required'.`,
      )
  }
}

function thinking(request: ChatRequest, name: string): Fields | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return undefined
  if (!isOn) return { type: 'disabled' }
  if (effort) {
    request.warn({
      type: 'changed',
      subject: 'reasoning',
      message: `${name} takes a budget in tokens, not the effort ${effort}; reasoning was switched on without it.`,
    })
  }
  return withoutUndefined({ type: 'enabled', tokenBudget: maxTokens })
}

function chatMessages(message: RequestMessage, request: ChatRequest, name: string): Fields[] {
  switch (message.role) {
    case 'user': {
      const [only] = message.content
      const isText = message.content.length === 1 && only?.type === 'text'
      const parts = () =>
        message.content.map((part) =>
          part.type === 'text' ? { type: 'text', text: part.text } : imagePart(part, request, name),
        )
      return [{ role: 'user', content: isText ? only.text : parts() }]
    }
    case 'assistant':
      return [assistantMessage(message, request, name)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        toolCallId: part.toolCallId,
        content: resultText(part.result),
      }))
  }
}

function assistantMessage(
  message: Extract<RequestMessage, { role: 'assistant' }>,
  request: ChatRequest,
  name: string,
): Fields {
  // Cohere takes thoughts back only while thinking is on.
  const thinks = reasoningOf(request.reasoning).isOn !== false
  let text = ''
  const thoughts: Fields[] = []
  const toolCalls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'tool-call') {
      const call = { name: part.name, arguments: argumentsText(part.arguments) }
      toolCalls.push({ id: part.id, type: 'function', function: call })
    } else if (isOwnReasoning(part, name, request) && thinks && part.text) {
      thoughts.push({ type: 'thinking', thinking: part.text })
    }
  }
  if (toolCalls.length > 0) {
    // "text content is not allowed when tool_calls are provided": what was said before them is the plan.
    const plan = text ? { toolPlan: text } : {}
    return { role: 'assistant', ...plan, ...(thoughts.length > 0 ? { content: thoughts } : {}), toolCalls }
  }
  return { role: 'assistant', content: thoughts.length > 0 ? [...thoughts, ...textParts(text)] : text }
}

function textParts(text: string): Fields[] {
  return text ? [{ type: 'text', text }] : []
}

function imagePart(part: MediaPart, request: ChatRequest, name: string): Fields {
  if (part.type === 'image') return { type: 'image_url', imageUrl: { url: dataUrl(part) } }
  refuse(
    name,
    request.model,
    `Cohere's chat takes no file (${part.mediaType}). Pass its text, or documents by vendor: { documents: [...] }.`,
  )
}

interface Content {
  text?: string | null
  thinking?: string | null
}

interface ToolCallFields {
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}

interface MessageFields {
  content?: string | Content | Content[] | null
  tool_calls?: ToolCallFields | ToolCallFields[] | null
}

interface EndFields {
  finish_reason?: string | null
  error?: string | null
  usage?: unknown
}

/** Shows progress without content: the plan, citations, the edges of blocks. */

/** Folds the events of a stream, or a whole reply. */
export class ChatFold implements EventFold {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
    /^\{"type":"content-delta","index":\d+,"delta":\{"message":\{"content":\{"text":"([^"\\\u0000-\u001f]+)"\}\}\}\}$/
  readonly #name: string
  readonly #model: string
  readonly #calls: ToolCalls

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
  }

  event(body: Fields, raw: unknown): readonly ProviderChunk[] {
    const delta = (body['delta'] ?? {}) as EndFields & { message?: MessageFields | null }
    const message = delta.message ?? {}
    const index = typeof body['index'] === 'number' ? body['index'] : undefined
    switch (body['type']) {
      case 'message-start':
        return [startChunk(body)]
      case 'content-start':
      case 'content-delta':
        return orSignOfLife(contentChunks(message.content))
      case 'tool-call-start':
      case 'tool-call-delta':
        return orSignOfLife(asList(message.tool_calls).flatMap((call) => this.#call(call, index)))
      case 'tool-call-end':
        return orSignOfLife(this.#calls.complete({ index }))
      case 'message-end':
        return this.#finish(((raw as Fields)['delta'] ?? {}) as EndFields, raw)
      case undefined:
        // A body of Cohere's errors, without the frame of an event.
        if (typeof body['message'] === 'string') throw this.#failure(raw)
        return []
      case 'content-end':
      case 'tool-plan-delta':
      case 'citation-start':
      case 'citation-end':
        return [signOfLife]
      default:
        // Pings are no sign of life.
        return []
    }
  }

  /** `[DONE]` may follow the terminal event; it is none itself. */
  done(): never {
    return this.end()
  }

  end(): never {
    throw new ConvokeError('stream_truncated', 'The stream ended without its terminal event message-end.', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    const message = body['message'] as MessageFields | string | null | undefined
    if (typeof message === 'string') throw this.#failure(raw)
    if (!message) {
      throw new ConvokeError('malformed_response', 'The reply has no message.', {
        provider: this.#name,
        model: this.#model,
      })
    }
    return [
      startChunk(body),
      ...contentChunks(message.content),
      ...asList(message.tool_calls).flatMap((call) => this.#call(call)),
      ...this.#finish(raw as EndFields, raw),
    ]
  }

  #call({ id, function: call }: ToolCallFields, index?: number): ProviderChunk[] {
    return this.#calls.delta({ id, index, name: call?.name, arguments: call?.arguments })
  }

  /** The first is a part of `raw`: its words may go into an error. */
  #finish({ finish_reason: reason, error, usage }: EndFields, raw: unknown): ProviderChunk[] {
    const kind = reason ? kindOfFailure[reason] : undefined
    if (kind ?? error) {
      throw this.#failure(raw, kind ?? 'server_error', error || `The generation ended with ${reason}.`)
    }
    const calls = this.#calls.complete(undefined, reason ?? undefined, reason === 'MAX_TOKENS')
    const reported = chatUsage(usage)
    return [
      ...calls,
      {
        type: 'finish',
        content: '',
        finishReason: reason ? finishReasonOf(reason) : this.#calls.size > 0 ? 'tool-calls' : 'stop',
        ...(reason ? { rawFinishReason: reason } : {}),
        ...(reported ? { usage: reported } : {}),
        raw,
      },
    ]
  }

  /** An error that came inside a reply. */
  #failure(raw: unknown, kind?: string, message?: string): ConvokeError {
    const fault = kind ? { kinds: [kind], message: message ?? '' } : readFault(raw)
    return replyError(fault, raw, { provider: this.#name, model: this.#model })
  }
}

function startChunk({ id }: Fields): ProviderChunk {
  return { type: 'start', content: '', ...(typeof id === 'string' ? { id } : {}) }
}

function contentChunks(content: MessageFields['content']): ProviderChunk[] {
  if (typeof content === 'string') return content ? [{ type: 'text', content }] : []
  const chunks: ProviderChunk[] = []
  for (const { thinking, text } of asList(content)) {
    if (thinking) chunks.push({ type: 'reasoning', content: '', reasoning: thinking })
    if (text) chunks.push({ type: 'text', content: text })
  }
  return chunks
}

function orSignOfLife(chunks: ProviderChunk[]): readonly ProviderChunk[] {
  return chunks.length > 0 ? chunks : [signOfLife]
}

function asList<T>(value: T | T[] | null | undefined): T[] {
  return Array.isArray(value) ? value : value ? [value] : []
}

/** Finish reasons that are failures, and the typed word of each. The last two are those of version 1. */
const kindOfFailure: Readonly<Record<string, string>> = {
  ERROR: 'server_error',
  TIMEOUT: 'timeout_error',
  ERROR_TOXIC: 'content_filter',
  ERROR_LIMIT: 'context_length_exceeded',
}

function finishReasonOf(raw: string): FinishReason {
  switch (raw) {
    case 'COMPLETE':
    case 'STOP_SEQUENCE':
      return 'stop'
    case 'MAX_TOKENS':
      return 'length'
    case 'TOOL_CALL':
      return 'tool-calls'
    default:
      return 'other'
  }
}

/** `tokens` is what the model read and wrote; `billed_units` leaves out what Cohere adds to the prompt. */
function chatUsage(value: unknown): ReportedUsage | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { tokens, billed_units, cached_tokens } = value as {
    tokens?: TokenFields | null
    billed_units?: TokenFields | null
    cached_tokens?: number | null
  }
  const input = tokens?.input_tokens ?? billed_units?.input_tokens
  const output = tokens?.output_tokens ?? billed_units?.output_tokens
  return {
    ...(typeof input === 'number' ? { inputTokens: input } : {}),
    ...(typeof output === 'number' ? { outputTokens: output } : {}),
    ...(typeof cached_tokens === 'number' ? { cachedInputTokens: cached_tokens } : {}),
  }
}

interface TokenFields {
  input_tokens?: number | null
  output_tokens?: number | null
}
