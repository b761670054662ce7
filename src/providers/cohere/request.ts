/** Maps a request to Cohere's Chat API, version 2. */
import type { ToolChoice } from '../../types.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import type { Fields } from '../shared/fields.ts'
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
  warnChanged,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage } from '../shared/request-parts.ts'

/** The request as the SDK takes it: in camelCase, which the SDK turns into the snake case of the wire. */
export function chatBody(request: ChatRequest, provider: string): Fields {
  warnUnsupported(request, provider, ['metadata'])
  const { tools } = request
  const body = withoutUndefined({
    model: request.model,
    messages: [
      ...systemMessages(request),
      ...request.messages.flatMap((message) => chatMessages(message, request, provider)),
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
    strictTools: strictTools(request, provider),
    toolChoice: tools && toolChoice(request.toolChoice, request, provider),
    thinking: thinking(request, provider),
    responseFormat: request.outputSchema && { type: 'json_object', jsonSchema: request.outputSchema },
  })
  return withVendorFields(body, request.vendor)
}

/** Removes undefined fields, because the SDK would write them as null. */
function withoutUndefined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** The SDK sends unknown keys as they are, so a field of `vendor` replaces a mapped one in either spelling. */
function withVendorFields(body: Fields, vendor: Fields = {}): Fields {
  const camelCase = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  for (const key of Object.keys(vendor)) delete body[camelCase(key)]
  return { ...body, ...vendor }
}

/** Cohere enforces the schemas of all tools or of none. */
function strictTools(request: ChatRequest, provider: string): true | undefined {
  const { tools } = request
  if (!tools?.some((tool) => tool.strict)) return undefined
  if (tools.every((tool) => tool.strict)) return true
  const message = `${provider} takes strict for all tools or none; it was left out. Set strict on every tool.`
  warnChanged(request, 'tools', message)
  return undefined
}

function toolChoice(
  choice: ToolChoice | undefined,
  request: ChatRequest,
  provider: string,
): string | undefined {
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
        request,
        provider,
        `Cohere cannot force a call of the tool ${choice.name}. Pass only that tool, with toolChoice: 'required'.`,
      )
  }
}

function thinking(request: ChatRequest, provider: string): Fields | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return undefined
  if (!isOn) return { type: 'disabled' }
  if (effort) {
    const message = `${provider} takes a token budget, not the effort ${effort}; reasoning was switched on without it.`
    warnChanged(request, 'reasoning', message)
  }
  return withoutUndefined({ type: 'enabled', tokenBudget: maxTokens })
}

function chatMessages(message: RequestMessage, request: ChatRequest, provider: string): Fields[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', content: userContent(message, (part) => imagePart(part, request, provider)) }]
    case 'assistant':
      return [assistantMessage(message, request, provider)]
    case 'tool':
      return message.content.map((part) => ({
        role: 'tool',
        toolCallId: part.toolCallId,
        content: resultText(part.result),
      }))
  }
}

function assistantMessage(message: AssistantMessage, request: ChatRequest, provider: string): Fields {
  // Cohere takes thoughts back only while thinking is on.
  const takesThoughts = reasoningOf(request.reasoning).isOn !== false
  let text = ''
  const thoughts: Fields[] = []
  const toolCalls: Fields[] = []
  for (const part of message.content) {
    if (part.type === 'text') text += part.text
    else if (part.type === 'tool-call') {
      const call = { name: part.name, arguments: argumentsText(part.arguments) }
      toolCalls.push({ id: part.id, type: 'function', function: call })
    } else if (isOwnReasoning(part, provider, request) && takesThoughts && part.text) {
      thoughts.push({ type: 'thinking', thinking: part.text })
    }
  }
  if (toolCalls.length > 0) {
    // Cohere answers "text content is not allowed when tool_calls are provided", so the text goes back as the plan.
    const plan = text ? { toolPlan: text } : {}
    return { role: 'assistant', ...plan, ...(thoughts.length > 0 ? { content: thoughts } : {}), toolCalls }
  }
  return { role: 'assistant', content: thoughts.length > 0 ? [...thoughts, ...textParts(text)] : text }
}

function textParts(text: string): Fields[] {
  return text ? [{ type: 'text', text }] : []
}

function imagePart(part: MediaPart, request: ChatRequest, provider: string): Fields {
  if (part.type === 'image') return { type: 'image_url', imageUrl: { url: dataUrl(part) } }
  refuse(
    request,
    provider,
    `Cohere's chat takes no file (${part.mediaType}). Pass its text, or documents by vendor: { documents: [...] }.`,
  )
}
