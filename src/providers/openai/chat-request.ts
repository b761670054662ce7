/** OpenAI's chat completions, which a dozen other servers speak in dialects of their own. */
import { createHash } from 'node:crypto'
import type { ToolChoice } from '../../types.ts'
import {
  argumentsText,
  dataUrl,
  isOwnReasoning,
  isStrictSchema,
  reasoningOf,
  refuse,
  resultText,
  toolParameters,
  warnUnsupported,
} from '../shared/mapping.ts'
import type { Dialect } from '../shared/presets.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import { isCustomCall } from '../shared/tool-calls.ts'

export type Fields = Record<string, unknown>

/** The body of a request. */
export function chatBody(request: ChatRequest, name: string, dialect: Dialect, stream: boolean): Fields {
  const { model, stop, seed, tools } = request
  if (!dialect.hasTopK) warnUnsupported(request, name, ['topK'])
  const stores = request.vendor?.['store'] === true
  if (!stores) warnUnsupported(request, name, ['metadata'], 'OpenAI takes it with vendor: { store: true }.')
  const body: Fields = {
    model,
    messages: [
      ...(request.system === undefined ? [] : [{ role: 'system', content: request.system }]),
      ...request.messages.flatMap((message) => chatMessages(message, request, name, dialect)),
    ],
    temperature: request.temperature,
    top_p: request.topP,
    top_k: dialect.hasTopK ? request.topK : undefined,
    [dialect.maxTokensField]: request.maxTokens,
    frequency_penalty: request.frequencyPenalty,
    presence_penalty: request.presencePenalty,
    stop,
    [dialect.seedField]: seed,
    metadata: stores ? request.metadata : undefined,
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
    response_format: request.outputSchema && {
      type: 'json_schema',
      json_schema: {
        name: 'output',
        schema: request.outputSchema,
        strict: isStrictSchema(request.outputSchema),
      },
    },
    ...reasoningFields(request, name, dialect),
    stream,
    ...(stream && dialect.asksForUsage ? { stream_options: { include_usage: true } } : {}),
  }
  return { ...body, ...request.vendor, stream }
}

function reasoningFields(request: ChatRequest, name: string, dialect: Dialect): Fields {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return {}
  if (dialect.reasoning === 'object') {
    return { reasoning: maxTokens ? { max_tokens: maxTokens } : effort ? { effort } : { enabled: isOn } }
  }
  if (maxTokens && !effort)
    warnUnsupported(request, name, ['reasoning'], 'It takes an effort word, not a budget.')
  return effort ? { reasoning_effort: effort } : {}
}

function toolChoice(choice: ToolChoice | undefined): unknown {
  return typeof choice === 'object' ? { type: 'function', function: { name: choice.name } } : choice
}

function chatMessages(
  message: RequestMessage,
  request: ChatRequest,
  name: string,
  dialect: Dialect,
): Fields[] {
  switch (message.role) {
    case 'user': {
      const [only] = message.content
      const isText = message.content.length === 1 && only?.type === 'text'
      const parts = () =>
        message.content.map((part) =>
          part.type === 'text' ? { type: 'text', text: part.text } : mediaPart(part, request, name),
        )
      return [{ role: 'user', content: isText ? only.text : parts() }]
    }
    case 'assistant':
      return [assistantMessage(message, request, name, dialect)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        tool_call_id: wireId(part.toolCallId, dialect),
        content: resultText(part.result),
      }))
  }
}

function assistantMessage(
  message: Extract<RequestMessage, { role: 'assistant' }>,
  request: ChatRequest,
  name: string,
  dialect: Dialect,
): Fields {
  let text = ''
  let reasoning = ''
  const calls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'tool-call') {
      const { name: tool, arguments: input, signature } = part
      const id = wireId(part.id, dialect)
      // Where Gemini stands behind a compatible server, its signature travels beside the call.
      const extra = signature ? { extra_content: { google: { thought_signature: signature } } } : {}
      calls.push(
        isCustomCall(part, request.tools)
          ? { id, type: 'custom', custom: { name: tool, input } }
          : { id, type: 'function', function: { name: tool, arguments: argumentsText(input) }, ...extra },
      )
    } else if (isOwnReasoning(part, name, request)) reasoning += part.text
  }
  return {
    role: 'assistant',
    content: text || (calls.length ? null : ''),
    ...(calls.length ? { tool_calls: calls } : {}),
    ...(reasoning && dialect.takesReasoning ? { reasoning_content: reasoning } : {}),
  }
}

/** An id that the server takes: another vendor's may be too long for it. The same id always becomes the same. */
function wireId(id: string, { callIds }: Dialect): string {
  if (callIds === 'nine') return /^[a-z0-9]{9}$/i.test(id) ? id : hashOf(id, 9)
  return callIds === 'forty' && id.length > 40 ? hashOf(id, 40) : id
}

function hashOf(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length)
}

function mediaPart(part: MediaPart, request: ChatRequest, name: string): Fields {
  if (part.type === 'image' || part.mediaType.startsWith('image/')) {
    return { type: 'image_url', image_url: { url: dataUrl(part) } }
  }
  if (part.url) {
    refuse(
      name,
      request.model,
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

/** The vendor tells kinds of files by their extension. */
export function fileName(part: MediaPart): string {
  const kind = part.mediaType.replace(/^.*\//, '').replace(/;.*$/, '')
  const extension = { plain: 'txt', markdown: 'md', 'x-markdown': 'md' }[kind] ?? kind
  return part.name ?? (/^\w+$/.test(extension) ? `file.${extension}` : 'file')
}
