/** Maps a request to the body of Anthropic's Messages API. */
import type { ToolChoice } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from '../shared/fields.ts'
import {
  isOwnReasoning,
  reasoningOf,
  argumentsObject,
  resultText,
  toolParameters,
  refuse,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage } from '../shared/request-parts.ts'

/** The value of max_tokens, which Anthropic requires, when the caller gives none. Thinking counts in it. */
const defaultMaxTokens = 4_096
/**
 * Output tokens added for thinking whose length the model chooses. The models that choose it have several times as
 * much output.
 */
const adaptiveThinkingTokens = 16_384

const samplingOptions = ['temperature', 'topP', 'topK'] as const

/** Whether a request has options that only the older API versions take. */
export function hasSampling(request: ChatRequest): boolean {
  return samplingOptions.some((name) => request[name] !== undefined)
}

/**
 * The body of a request. Without `maxTokens` from the caller, max_tokens is 4,096 plus the tokens added for thinking.
 * @param takesSampling whether the API version takes temperature, top_p and top_k
 */
export function messagesBody(
  request: ChatRequest,
  provider: string,
  stream: boolean,
  takesSampling: boolean,
): Fields {
  const { model, system, temperature, topP, topK, stop, tools } = request
  warnUnsupported(request, provider, ['seed', 'frequencyPenalty', 'presencePenalty'])
  if (!takesSampling) {
    const remedy =
      "headers: { 'anthropic-version': '2023-06-01' } selects the last API version that supports it."
    warnUnsupported(request, provider, samplingOptions, remedy)
  }
  const { thinkingTokens, effort, ...reasoning } = reasoningFields(request)
  const body: Fields = {
    model,
    max_tokens: request.maxTokens ?? defaultMaxTokens + thinkingTokens,
    system: system || undefined,
    messages: turns(request, provider),
    ...(takesSampling ? { temperature, top_p: topP, top_k: topK } : {}),
    stop_sequences: stop,
    metadata: metadata(request, provider),
    tools: tools?.map((tool) => ({
      name: tool.name,
      description: tool.description,
      input_schema: { type: 'object', ...toolParameters(tool) },
      strict: tool.strict,
    })),
    tool_choice: tools && toolChoice(request.toolChoice),
    ...reasoning,
    output_config: outputConfig(effort, request.outputSchema),
  }
  return { ...body, ...request.vendor, stream }
}

/** `thinkingTokens` is the part of the output that thinking may take. */
function reasoningFields(request: ChatRequest): Fields & { thinkingTokens: number; effort?: string } {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return { thinkingTokens: 0 }
  if (!isOn || maxTokens === 0) return { thinking: { type: 'disabled' }, thinkingTokens: 0 }
  return {
    thinking: maxTokens ? { type: 'enabled', budget_tokens: maxTokens } : { type: 'adaptive' },
    ...(effort ? { effort: effort === 'minimal' ? 'low' : effort } : {}),
    thinkingTokens: maxTokens ?? adaptiveThinkingTokens,
  }
}

function outputConfig(effort: string | undefined, schema: Fields | undefined): Fields | undefined {
  if (!effort && !schema) return undefined
  return { ...(effort ? { effort } : {}), ...(schema ? { format: { type: 'json_schema', schema } } : {}) }
}

/** Anthropic takes no label but the user's id. */
function metadata(request: ChatRequest, provider: string): Fields | undefined {
  const labels = request.metadata ?? {}
  const others = Object.keys(labels).filter((label) => label !== 'userId' && label !== 'user_id')
  if (others.length > 0) {
    request.warn({
      type: 'unsupported-option',
      subject: 'metadata',
      message: `${provider} takes only userId as metadata; left out: ${others.join(', ')}.`,
    })
  }
  const userId = labels['userId'] ?? labels['user_id']
  return userId === undefined ? undefined : { user_id: userId }
}

function toolChoice(choice: ToolChoice | undefined): Fields | undefined {
  if (choice === undefined) return undefined
  if (typeof choice === 'object') return { type: 'tool', name: choice.name }
  return { type: choice === 'required' ? 'any' : choice }
}

/** The messages as alternating turns of user and assistant. Tool results stand first in a user's turn. */
function turns(request: ChatRequest, provider: string): Fields[] {
  const all: { role: 'user' | 'assistant'; content: Fields[] }[] = []
  for (const message of request.messages) {
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const content = blocks(message, request, provider)
    const last = all.at(-1)
    if (content.length === 0) continue
    if (last?.role === role) last.content.push(...content)
    else all.push({ role, content })
  }
  const isResult = (block: Fields) => block['type'] === 'tool_result'
  return all.map(({ role, content }) => ({
    role,
    content: [...content.filter(isResult), ...content.filter((block) => !isResult(block))],
  }))
}

function blocks(message: RequestMessage, request: ChatRequest, provider: string): Fields[] {
  switch (message.role) {
    case 'user':
      return message.content
        .filter((part) => part.type !== 'text' || part.text.trim() || message.content.length === 1)
        .map((part) =>
          part.type === 'text' ? { type: 'text', text: part.text } : mediaBlock(part, request, provider),
        )
    case 'assistant':
      return message.content.flatMap((part) => assistantBlock(part, request, provider))
    case 'tool':
      return message.content.map(({ toolCallId, result, isError }) => ({
        type: 'tool_result',
        tool_use_id: toolUseId(toolCallId),
        content: resultText(result),
        ...(isError ? { is_error: true } : {}),
      }))
  }
}

function assistantBlock(
  part: AssistantMessage['content'][number],
  request: ChatRequest,
  provider: string,
): Fields[] {
  switch (part.type) {
    case 'text':
      // Claude writes blank text between other blocks, and the API refuses to take it back.
      return part.text.trim() ? [{ type: 'text', text: part.text }] : []
    case 'tool-call': {
      const input = argumentsObject(part.arguments)
      return [{ type: 'tool_use', id: toolUseId(part.id), name: part.name, input }]
    }
    case 'reasoning':
      // Compatible servers send reasoning without a signature, and the API refuses such reasoning.
      if (!isOwnReasoning(part, provider, request) || !part.signature) return []
      return part.redacted
        ? [{ type: 'redacted_thinking', data: part.signature }]
        : [{ type: 'thinking', thinking: part.text, signature: part.signature }]
  }
}

/** Ids of other vendors may hold characters that Anthropic refuses (`functions.weather:0`). */
function toolUseId(id: string): string {
  return id.replace(/[^a-zA-Z0-9_-]/g, '_')
}

function mediaBlock(part: MediaPart, request: ChatRequest, provider: string): Fields {
  const { mediaType, url, base64 = '' } = part
  const source = url ? { type: 'url', url } : { type: 'base64', media_type: mediaType, data: base64 }
  if (part.type === 'image' || mediaType.startsWith('image/')) return { type: 'image', source }
  const document = { type: 'document', ...(part.name ? { title: part.name } : {}) }
  if (mediaType === 'application/pdf') return { ...document, source }
  if (!mediaType.startsWith('text/')) {
    refuse(
      request,
      provider,
      `${provider} takes images, PDF and text, not ${mediaType}. Send the text of the file instead.`,
    )
  }
  if (url) return { ...document, source }
  const data = Buffer.from(base64, 'base64').toString()
  return { ...document, source: { type: 'text', media_type: 'text/plain', data } }
}
