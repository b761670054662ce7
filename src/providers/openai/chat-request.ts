/** Maps a request to the body of OpenAI's chat completions, which many other servers take in dialects of their own. */
import { createHash } from 'node:crypto'
import type { ToolCallPart, ToolChoice } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from '../shared/fields.ts'
import type { Dialect } from '../shared/presets.ts'
import {
  isOwnReasoning,
  reasoningOf,
  argumentsText,
  dataUrl,
  resultText,
  systemMessages,
  toolParameters,
  userContent,
  refuse,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage } from '../shared/request-parts.ts'
import { fileName } from './file-name.ts'
import { isCustomCall } from './is-custom-call.ts'
import { isStrictSchema } from './is-strict-schema.ts'
import { warnOfBudget } from './warn-of-budget.ts'

/** The body of a request. */
export function chatBody(request: ChatRequest, provider: string, dialect: Dialect, stream: boolean): Fields {
  const { tools } = request
  if (!dialect.hasTopK) warnUnsupported(request, provider, ['topK'])
  const isStored = request.vendor?.['store'] === true
  if (!isStored) {
    warnUnsupported(request, provider, ['metadata'], 'OpenAI takes it only with vendor: { store: true }.')
  }
  const body: Fields = {
    model: request.model,
    messages: [
      ...systemMessages(request),
      ...request.messages.flatMap((message) => chatMessages(message, request, provider, dialect)),
    ],
    temperature: request.temperature,
    top_p: request.topP,
    top_k: dialect.hasTopK ? request.topK : undefined,
    [dialect.maxTokensField]: request.maxTokens,
    frequency_penalty: request.frequencyPenalty,
    presence_penalty: request.presencePenalty,
    stop: request.stop,
    [dialect.seedField]: request.seed,
    metadata: isStored ? request.metadata : undefined,
    tools: tools?.map((tool) => ({
      type: 'function',
      function: {
        name: tool.name,
        description: tool.description,
        parameters: toolParameters(tool),
        strict: tool.strict,
      },
    })),
    tool_choice: (tools ?? request.vendor?.['tools']) && toolChoice(request.toolChoice),
    response_format: responseFormat(request.outputSchema),
    ...reasoningFields(request, provider, dialect),
    stream,
    ...(stream && dialect.asksForUsage ? { stream_options: { include_usage: true } } : {}),
  }
  return { ...body, ...request.vendor, stream }
}

function responseFormat(schema: Fields | undefined): Fields | undefined {
  if (!schema) return undefined
  return { type: 'json_schema', json_schema: { name: 'output', schema, strict: isStrictSchema(schema) } }
}

function reasoningFields(request: ChatRequest, provider: string, dialect: Dialect): Fields {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return {}
  if (dialect.reasoning === 'object') {
    return { reasoning: maxTokens ? { max_tokens: maxTokens } : effort ? { effort } : { enabled: isOn } }
  }
  if (maxTokens && !effort) {
    warnOfBudget(request, provider)
  }
  return effort ? { reasoning_effort: effort } : {}
}

function toolChoice(choice: ToolChoice | undefined): unknown {
  return typeof choice === 'object' ? { type: 'function', function: { name: choice.name } } : choice
}

function chatMessages(
  message: RequestMessage,
  request: ChatRequest,
  provider: string,
  dialect: Dialect,
): Fields[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', content: userContent(message, (part) => mediaPart(part, request, provider)) }]
    case 'assistant':
      return [assistantMessage(message, request, provider, dialect)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        tool_call_id: wireId(part.toolCallId, dialect),
        content: resultText(part.result),
      }))
  }
}

function assistantMessage(
  message: AssistantMessage,
  request: ChatRequest,
  provider: string,
  dialect: Dialect,
): Fields {
  let text = ''
  let reasoning = ''
  const calls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'tool-call') calls.push(toolCall(part, request, dialect))
    else if (isOwnReasoning(part, provider, request)) reasoning += part.text
  }
  return {
    role: 'assistant',
    content: text || (calls.length ? null : ''),
    ...(calls.length ? { tool_calls: calls } : {}),
    ...(reasoning && dialect.takesReasoning ? { reasoning_content: reasoning } : {}),
  }
}

function toolCall(part: ToolCallPart, request: ChatRequest, dialect: Dialect): Fields {
  const { name, arguments: input, signature } = part
  const id = wireId(part.id, dialect)
  if (isCustomCall(part, request.tools)) return { id, type: 'custom', custom: { name, input } }
  // A compatible server in front of Gemini takes Gemini's signature beside the call.
  const extra = signature ? { extra_content: { google: { thought_signature: signature } } } : {}
  return { id, type: 'function', function: { name, arguments: argumentsText(input) }, ...extra }
}

/**
 * An id that the server takes, because the id of another vendor may be too long for it. One id always gives the same
 * result, so a tool's result still matches its call.
 */
function wireId(id: string, { callIds }: Dialect): string {
  if (callIds === 'nine') return /^[a-z0-9]{9}$/i.test(id) ? id : hashOf(id, 9)
  return callIds === 'forty' && id.length > 40 ? hashOf(id, 40) : id
}

function hashOf(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length)
}

function mediaPart(part: MediaPart, request: ChatRequest, provider: string): Fields {
  if (part.type === 'image' || part.mediaType.startsWith('image/')) {
    return { type: 'image_url', image_url: { url: dataUrl(part) } }
  }
  if (part.url) {
    refuse(
      request,
      provider,
      'The chat API takes files as bytes, not by URL. Load the file and pass its bytes.',
    )
  }
  const sound = /^audio\/(?:x-)?(wav|mp3|mpeg)$/.exec(part.mediaType)
  if (sound) {
    return {
      type: 'input_audio',
      input_audio: { data: part.base64, format: sound[1] === 'wav' ? 'wav' : 'mp3' },
    }
  }
  return { type: 'file', file: { file_data: dataUrl(part), filename: fileName(part) } }
}
