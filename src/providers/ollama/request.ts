/** Maps a request to the bodies of Ollama's `/api/chat` and `/api/generate`. */
import type { ReasoningEffort } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from '../shared/fields.ts'
import {
  isOwnReasoning,
  reasoningOf,
  argumentsObject,
  resultText,
  systemMessages,
  toolParameters,
  refuse,
  warnChanged,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage, UserMessage } from '../shared/request-parts.ts'

/** The fields that only `/api/generate` has: a prompt without a template, code to fill in, its old form of memory. */
const generateFields = ['raw', 'suffix', 'context', 'template']

/** Whether a request goes to `/api/generate`, because `vendor` has a field that only that endpoint knows. */
export function wantsGenerate(request: ChatRequest): boolean {
  return generateFields.some((field) => request.vendor?.[field] !== undefined)
}

/** The body for `/api/chat`. */
export function chatBody(request: ChatRequest, provider: string, stream: boolean): Fields {
  const tools = request.toolChoice === 'none' ? undefined : request.tools
  if (tools && request.toolChoice && request.toolChoice !== 'auto') {
    refuse(
      request,
      provider,
      "Ollama cannot force a tool call; the model decides. Use toolChoice 'auto' or 'none'.",
    )
  }
  const body: Fields = {
    model: request.model,
    messages: [
      ...systemMessages(request),
      ...request.messages.flatMap((message) => chatMessages(message, request, provider)),
    ],
    tools: tools?.map((tool) => ({
      type: 'function',
      function: { name: tool.name, description: tool.description, parameters: toolParameters(tool) },
    })),
    ...sharedFields(request, provider),
  }
  return withVendorFields(body, request, stream)
}

/** The body for `/api/generate`, which takes one prompt and no conversation. */
export function generateBody(request: ChatRequest, provider: string, stream: boolean): Fields {
  const [message, ...more] = request.messages
  if (message?.role !== 'user' || more.length > 0) {
    const fields = generateFields.join(', ')
    refuse(request, provider, `/api/generate (vendor: ${fields}) takes one user message, not a conversation.`)
  }
  if (request.tools?.length) refuse(request, provider, '/api/generate takes no tools.')
  const { content, images } = userFields(message, request, provider)
  const body: Fields = {
    model: request.model,
    prompt: content,
    system: request.system,
    images,
    ...sharedFields(request, provider),
  }
  return withVendorFields(body, request, stream)
}

function sharedFields(request: ChatRequest, provider: string): Fields {
  warnUnsupported(request, provider, ['metadata'])
  return {
    think: think(request, provider),
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

/** The caller's `options` replace the mapped ones key by key, so that passing num_ctx does not drop the temperature. */
function withVendorFields(body: Fields, { vendor = {} }: ChatRequest, stream: boolean): Fields {
  const options = { ...(body['options'] as Fields), ...(vendor['options'] as Fields | undefined) }
  return { ...body, ...vendor, options, stream }
}

/** Ollama knows three words for effort. Every other effort is sent as the nearest of them. */
const nearestEffort: Readonly<Record<Exclude<ReasoningEffort, 'none'>, 'low' | 'medium' | 'high'>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
}

function think(request: ChatRequest, provider: string): boolean | string | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (!isOn) return isOn
  if (maxTokens) {
    const message = `${provider} takes no token budget for reasoning; the budget of ${maxTokens} was left out.`
    warnChanged(request, 'reasoning', message)
  }
  if (!effort || effort === 'none') return true
  const nearest = nearestEffort[effort]
  if (nearest !== effort) {
    warnChanged(request, 'reasoning', `${provider} has no effort ${effort}; ${nearest} was sent instead.`)
  }
  return nearest
}

function chatMessages(message: RequestMessage, request: ChatRequest, provider: string): Fields[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', ...userFields(message, request, provider) }]
    case 'assistant':
      return [assistantMessage(message, request, provider)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        content: resultText(part.result),
        tool_name: part.name,
        tool_call_id: part.toolCallId,
      }))
  }
}

function assistantMessage(message: AssistantMessage, request: ChatRequest, provider: string): Fields {
  let content = ''
  let thinking = ''
  const calls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') content += part.text
    else if (part.type === 'tool-call') {
      calls.push({ id: part.id, function: { name: part.name, arguments: argumentsObject(part.arguments) } })
    } else if (isOwnReasoning(part, provider, request)) thinking += part.text
  }
  return {
    role: 'assistant',
    content,
    ...(thinking ? { thinking } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  }
}

function userFields(
  message: UserMessage,
  request: ChatRequest,
  provider: string,
): { content: string; images?: Buffer[] } {
  const texts: string[] = []
  const images: Buffer[] = []
  for (const part of message.content) {
    if (part.type === 'text') texts.push(part.text)
    else images.push(imageBytes(part, request, provider))
  }
  return { content: texts.join('\n'), ...(images.length > 0 ? { images } : {}) }
}

/**
 * The bytes of an image, which the SDK writes as base64. A string will not do: the SDK first takes it for the path of a
 * file and reads that file.
 */
function imageBytes(part: MediaPart, request: ChatRequest, provider: string): Buffer {
  if (part.type === 'file') {
    refuse(
      request,
      provider,
      `Ollama takes no file (${part.mediaType}). Pass its text, or its pages as images.`,
    )
  }
  if (part.url !== undefined) {
    refuse(request, provider, 'Ollama loads no image from a URL. Load the image and pass its bytes.')
  }
  return Buffer.from(part.base64, 'base64')
}
