/** Ollama's `/api/chat` and `/api/generate`: what a request becomes, and what their lines and replies mean. */
import type { ReasoningEffort } from '../../types.ts'
import {
  argumentsObject,
  isOwnReasoning,
  reasoningOf,
  refuse,
  resultText,
  toolParameters,
  warnUnsupported,
} from '../shared/mapping.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'

export type Fields = Record<string, unknown>
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

export interface ToolCallFields {
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}
