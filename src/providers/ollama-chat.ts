/** Ollama's `/api/chat` and `/api/generate`: what a request becomes, and what their lines and replies mean. */
import { ConvokeError } from '../errors.ts'
import type { FinishReason, ReasoningEffort } from '../types.ts'
import type { EventFold } from './chunk-reader.ts'
import {
  argumentsObject,
  isOwnReasoning,
  reasoningOf,
  refuse,
  resultText,
  toolParameters,
  warnUnsupported,
} from './mapping.ts'
import type { ChatRequest, MediaPart, ProviderChunk, RequestMessage } from './provider.ts'
import { ToolCalls } from './tool-calls.ts'

type Fields = Record<string, unknown>
type UserContent = Extract<RequestMessage, { role: 'user' }>['content']

/** What only `/api/generate` has: a prompt without a template, code to fill in, and its old form of memory. */
const generateFields = ['raw', 'suffix', 'context', 'template']

/** Whether a request is for `/api/generate`: `vendor` has a field that only that endpoint knows. */
export function wantsGenerate(request: ChatRequest): boolean {
  return generateFields.some((field) => request.vendor?.[field] !== undefined)
}

export function chatBody(request: ChatRequest, name: string, stream: boolean): Fields {
  const tools = request.toolChoice === 'none' ? undefined : request.tools
  if (tools && request.toolChoice && request.toolChoice !== 'auto') {
    refuse(
      name,
      request.model,
      "Ollama leaves it to the model whether it calls a tool. Use toolChoice 'auto' or 'none'.",
    )
  }
  const body: Fields = {
    model: request.model,
    messages: [
      ...(request.system === undefined ? [] : [{ role: 'system', content: request.system }]),
      ...request.messages.flatMap((message) => chatMessages(message, request, name)),
    ],
    tools: tools?.map((tool) => ({
      type: 'function',
      function: { name: tool.name, description: tool.description, parameters: toolParameters(tool) },
    })),
    ...sharedFields(request, name),
  }
  return withVendorFields(body, request, stream)
}

/** The body for `/api/generate`, which takes one prompt and no conversation. */
export function generateBody(request: ChatRequest, name: string, stream: boolean): Fields {
  const [message, ...more] = request.messages
  if (message?.role !== 'user' || more.length > 0) {
    const fields = generateFields.join(', ')
    refuse(
      name,
      request.model,
      `/api/generate (vendor: ${fields}) takes one user message, not a conversation.`,
    )
  }
  if (request.tools?.length) refuse(name, request.model, '/api/generate takes no tools.')
  const { content, images } = userFields(message.content, request, name)
  const body: Fields = {
    model: request.model,
    prompt: content,
    system: request.system,
    images,
    ...sharedFields(request, name),
  }
  return withVendorFields(body, request, stream)
}

function sharedFields(request: ChatRequest, name: string): Fields {
  warnUnsupported(request, name, ['metadata'])
  return {
    think: think(request, name),
    format: request.outputSchema,
    options: {
      temperature: request.temperature,
      num_predict: request.maxTokens,
      top_p: request.topP,
      top_k: request.topK,
      frequency_penalty: request.frequencyPenalty,
      presence_penalty: request.presencePenalty,
      stop: request.stop,
      seed: request.seed,
    },
  }
}

/** `options` of the caller is laid over ours key by key, so that one num_ctx does not cost the temperature. */
function withVendorFields(body: Fields, { vendor = {} }: ChatRequest, stream: boolean): Fields {
  const options = { ...(body['options'] as Fields), ...(vendor['options'] as Fields | undefined) }
  return { ...body, ...vendor, options, stream }
}

/** Ollama's three words for effort; the others take the nearest. */
const nearestEffort: Readonly<Record<Exclude<ReasoningEffort, 'none'>, 'low' | 'medium' | 'high'>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
}

function think(request: ChatRequest, name: string): boolean | string | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (!isOn) return isOn
  const change = (message: string) => request.warn({ type: 'changed', subject: 'reasoning', message })
  if (maxTokens) change(`${name} takes no budget for reasoning; ${maxTokens} tokens were left out.`)
  if (!effort || effort === 'none') return true
  const nearest = nearestEffort[effort]
  if (nearest !== effort) change(`${name} has no effort ${effort}; it was asked for ${nearest}.`)
  return nearest
}

function chatMessages(message: RequestMessage, request: ChatRequest, name: string): Fields[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', ...userFields(message.content, request, name) }]
    case 'assistant':
      return [assistantMessage(message, request, name)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        content: resultText(part.result),
        tool_name: part.name,
        tool_call_id: part.toolCallId,
      }))
  }
}

function assistantMessage(
  message: Extract<RequestMessage, { role: 'assistant' }>,
  request: ChatRequest,
  name: string,
): Fields {
  let content = ''
  let thinking = ''
  const calls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') content += part.text
    else if (part.type === 'tool-call') {
      calls.push({ id: part.id, function: { name: part.name, arguments: argumentsObject(part.arguments) } })
    } else if (isOwnReasoning(part, name, request)) thinking += part.text
  }
  return {
    role: 'assistant',
    content,
    ...(thinking ? { thinking } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  }
}

function userFields(
  parts: UserContent,
  request: ChatRequest,
  name: string,
): { content: string; images?: Buffer[] } {
  const texts: string[] = []
  const images: Buffer[] = []
  for (const part of parts) {
    if (part.type === 'text') texts.push(part.text)
    else images.push(imageBytes(part, request, name))
  }
  return { content: texts.join('\n'), ...(images.length > 0 ? { images } : {}) }
}

/** Bytes, which the SDK writes as base64: a text it takes for the path of a file first, and reads that. */
function imageBytes(part: MediaPart, request: ChatRequest, name: string): Buffer {
  if (part.type === 'file') {
    refuse(
      name,
      request.model,
      `Ollama takes no file (${part.mediaType}). Pass its text, or its pages as images.`,
    )
  }
  if (part.url !== undefined) {
    refuse(name, request.model, 'Ollama loads no image from a URL. Load the image and pass its bytes.')
  }
  return Buffer.from(part.base64, 'base64')
}

interface MessageFields {
  content?: string | null
  thinking?: string | null
  tool_calls?: ToolCallFields[] | null
}

interface ToolCallFields {
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}

/** Folds the lines of a stream, or a whole reply, of `/api/chat` and of `/api/generate`. */
export class ChatFold implements EventFold {
  readonly plainText =
    // eslint-disable-next-line no-control-regex -- JSON forbids them inside a string
    /^\{"model":"[^"\\]*","created_at":"[^"\\]*","message":\{"role":"assistant","content":"([^"\\\u0000-\u001f]+)"\},"done":false\}$/
  readonly #name: string
  readonly #model: string
  readonly #calls: ToolCalls
  #isStarted = false

  constructor(name: string, model: string) {
    this.#name = name
    this.#model = model
    this.#calls = new ToolCalls(name)
  }

  event(body: Fields, raw: unknown): ProviderChunk[] {
    const chunks: ProviderChunk[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      chunks.push({
        type: 'start',
        content: '',
        ...(typeof body['model'] === 'string' ? { model: body['model'] } : {}),
      })
    }
    const { content, thinking, tool_calls: calls } = messageOf(body)
    if (thinking) chunks.push({ type: 'reasoning', content: '', reasoning: thinking })
    // A line without content is a sign of life.
    if (content || !(thinking || calls?.length)) chunks.push({ type: 'text', content: content ?? '' })
    for (const { id, function: call } of calls ?? []) {
      // Each call is whole, and two with the same name are two. Few versions give them ids.
      chunks.push(...this.#calls.delta({ id, name: call?.name, arguments: call?.arguments ?? {} }))
      chunks.push(...this.#calls.complete())
    }
    if (body['done'] === true) chunks.push(this.#finish(body, raw))
    return chunks
  }

  end(): never {
    throw new ConvokeError('stream_truncated', 'The stream ended without its terminal line ("done": true).', {
      provider: this.#name,
      model: this.#model,
    })
  }

  /** The chunks of a whole reply. */
  whole(body: Fields, raw: unknown): ProviderChunk[] {
    if (!body['message'] && typeof body['response'] !== 'string') {
      throw new ConvokeError('malformed_response', 'The reply has neither a message nor a response.', {
        provider: this.#name,
        model: this.#model,
      })
    }
    if (body['done'] !== true) this.end()
    return this.event(body, raw)
  }

  #finish(body: Fields, raw: unknown): ProviderChunk {
    const reason = typeof body['done_reason'] === 'string' ? body['done_reason'] : undefined
    const { prompt_eval_count: input, eval_count: output } = body
    return {
      type: 'finish',
      content: '',
      finishReason: finishReasonOf(reason, this.#calls.size > 0),
      ...(reason ? { rawFinishReason: reason } : {}),
      usage: {
        // A prompt that Ollama still had in memory is not counted; what is missing is estimated.
        ...(typeof input === 'number' ? { inputTokens: input } : {}),
        ...(typeof output === 'number' ? { outputTokens: output } : {}),
      },
      raw,
    }
  }
}

function messageOf(body: Fields): MessageFields {
  const message = body['message'] as MessageFields | null | undefined
  if (message) return message
  const { response, thinking, tool_calls } = body as MessageFields & { response?: string | null }
  return { content: response ?? null, thinking: thinking ?? null, tool_calls: tool_calls ?? null }
}

/** Old versions give no reason; `load` and `unload` end a request that only moved the model. */
function finishReasonOf(raw: string | undefined, hasCalls: boolean): FinishReason {
  switch (raw) {
    case undefined:
    case 'stop':
    case 'tool_calls':
      return hasCalls ? 'tool-calls' : 'stop'
    case 'length':
      return 'length'
    default:
      return 'other'
  }
}
