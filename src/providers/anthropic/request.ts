/** The body of a request to Anthropic's Messages API. */
import type { ToolChoice } from '../../types.ts'
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

type Fields = Record<string, unknown>

/** Anthropic requires max_tokens; so many where the caller gives none. Thinking counts in it. */
const defaultMaxTokens = 4_096
/** Room for thinking whose length the model chooses; the models that do have several times as much output. */
const adaptiveThinkingTokens = 16_384

const samplingOptions = ['temperature', 'topP', 'topK'] as const

/** Whether a request has options that only the older API versions take. */
export function hasSampling(request: ChatRequest): boolean {
  return samplingOptions.some((name) => request[name] !== undefined)
}

/** The body of a request. Where the caller gave no `maxTokens`, it is 4096 and the room for thinking. */
export function messagesBody(
  request: ChatRequest,
  name: string,
  stream: boolean,
  takesSampling: boolean,
): Fields {
  const { model, system, temperature, topP, topK, stop, tools } = request
  warnUnsupported(request, name, ['seed', 'frequencyPenalty', 'presencePenalty'])
  if (!takesSampling) {
    const remedy =
      "headers: { 'anthropic-version': '2023-06-01' } asks for the last version of the API that had it."
    warnUnsupported(request, name, samplingOptions, remedy)
  }
  const { thinkingTokens, effort, ...reasoning } = reasoningFields(request)
  const schema = request.outputSchema
  const body: Fields = {
    model,
    max_tokens: request.maxTokens ?? defaultMaxTokens + thinkingTokens,
    system: system || undefined,
    messages: turns(request, name),
    ...(takesSampling ? { temperature, top_p: topP, top_k: topK } : {}),
    stop_sequences: stop,
    metadata: metadata(request, name),
    tools: tools?.map((tool) => ({
      name: tool.name,
      description: tool.description,
      input_schema: { type: 'object', ...toolParameters(tool) },
      strict: tool.strict,
    })),
    tool_choice: tools && toolChoice(request.toolChoice),
    ...reasoning,
    output_config:
      effort || schema
        ? { ...(effort ? { effort } : {}), ...(schema ? { format: { type: 'json_schema', schema } } : {}) }
        : undefined,
  }
  return { ...body, ...request.vendor, stream }
}

/** `thinkingTokens` is what thinking may take of the output. */
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

/** The one label that Anthropic takes is the user's id. */
function metadata(request: ChatRequest, name: string): Fields | undefined {
  const labels = request.metadata ?? {}
  const others = Object.keys(labels).filter((label) => label !== 'userId' && label !== 'user_id')
  if (others.length > 0) {
    request.warn({
      type: 'unsupported-option',
      subject: 'metadata',
      message: `${name} takes only userId as metadata; left out: ${others.join(', ')}.`,
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

/** The messages as turns of user and assistant by turns; results of tools stand first in a user's turn. */
function turns(request: ChatRequest, name: string): Fields[] {
  const all: { role: 'user' | 'assistant'; content: Fields[] }[] = []
  for (const message of request.messages) {
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const content = blocks(message, request, name)
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

function blocks(message: RequestMessage, request: ChatRequest, name: string): Fields[] {
  switch (message.role) {
    case 'user':
      return message.content
        .filter((part) => part.type !== 'text' || part.text.trim() || message.content.length === 1)
        .map((part) =>
          part.type === 'text' ? { type: 'text', text: part.text } : mediaBlock(part, request, name),
        )
    case 'assistant':
      return message.content.flatMap((part) => assistantBlock(part, request, name))
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
  part: Extract<RequestMessage, { role: 'assistant' }>['content'][number],
  request: ChatRequest,
  name: string,
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
      // Without its signature, as compatible servers send it, the API would refuse it.
      if (!isOwnReasoning(part, name, request) || !part.signature) return []
      return part.redacted
        ? [{ type: 'redacted_thinking', data: part.signature }]
        : [{ type: 'thinking', thinking: part.text, signature: part.signature }]
  }
}

/** Ids of other vendors may hold characters that Anthropic refuses (`functions.weather:0`). */
function toolUseId(id: string): string {
  return id.replace(/[^a-zA-Z0-9_-]/g, '_')
}

function mediaBlock(part: MediaPart, request: ChatRequest, name: string): Fields {
  const { mediaType, url, base64 = '' } = part
  const bytes = url ? { type: 'url', url } : { type: 'base64', media_type: mediaType, data: base64 }
  if (part.type === 'image' || mediaType.startsWith('image/')) return { type: 'image', source: bytes }
  const document = { type: 'document', ...(part.name ? { title: part.name } : {}) }
  if (mediaType === 'application/pdf') return { ...document, source: bytes }
  if (!mediaType.startsWith('text/')) {
    refuse(
      name,
      request.model,
      `${name} takes images, PDF and text, not ${mediaType}. Send its text instead.`,
    )
  }
  if (url) return { ...document, source: bytes }
  const data = Buffer.from(base64, 'base64').toString()
  return { ...document, source: { type: 'text', media_type: 'text/plain', data } }
}
