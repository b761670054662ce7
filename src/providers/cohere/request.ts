/** Cohere's Chat API, version 2: what a request becomes, and what its events and replies mean. */
import type { ToolChoice } from '../../types.ts'
import {
  argumentsText,
  dataUrl,
  isOwnReasoning,
  reasoningOf,
  refuse,
  resultText,
  toolParameters,
  warnUnsupported,
} from '../shared/mapping.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'

export type Fields = Record<string, unknown>

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

export function thinking(request: ChatRequest, name: string): Fields | undefined {
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

export interface ToolCallFields {
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}
