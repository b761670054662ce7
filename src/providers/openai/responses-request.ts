/** OpenAI's Responses API: what a request becomes; openai-responses-fold.ts has what comes back. */
import type { ReasoningPart, ToolChoice } from '../../types.ts'
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
import { fileName } from './chat-request.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import { isCustomCall } from '../shared/tool-calls.ts'

export { ResponsesEventMapper } from './responses-events.ts'

type Fields = Record<string, unknown>
type AssistantContent = Extract<RequestMessage, { role: 'assistant' }>['content']

/** The body of a request. */
export function responsesBody(request: ChatRequest, name: string, stream: boolean): Fields {
  const { model, tools } = request
  if (request.stop?.length) {
    refuse(name, model, "The Responses API has no stop. Leave it out, or use api: 'chat'.")
  }
  const api = `The Responses API of ${name}`
  warnUnsupported(request, api, ['topK'])
  warnUnsupported(request, api, ['seed', 'frequencyPenalty', 'presencePenalty'], "api: 'chat' has it.")
  const body: Fields = {
    model,
    instructions: request.system,
    input: inputItems(request, name),
    temperature: request.temperature,
    top_p: request.topP,
    max_output_tokens: request.maxTokens,
    metadata: request.metadata,
    tools: tools?.map((tool) => ({
      type: 'function',
      name: tool.name,
      description: tool.description,
      parameters: toolParameters(tool),
      // This API is strict unless told otherwise, and refuses schemas that are not made for it.
      strict: tool.strict ?? false,
    })),
    tool_choice: (tools ?? request.vendor?.['tools']) && toolChoice(request.toolChoice),
    text: request.outputSchema && {
      format: {
        type: 'json_schema',
        name: 'output',
        schema: request.outputSchema,
        strict: isStrictSchema(request.outputSchema),
      },
    },
    ...reasoningFields(request, name),
  }
  return { ...body, ...request.vendor, stream }
}

function reasoningFields(request: ChatRequest, name: string): Fields {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return {}
  if (maxTokens && !effort) {
    warnUnsupported(request, name, ['reasoning'], 'It takes an effort word, not a budget.')
    return {}
  }
  return {
    reasoning: { ...(effort ? { effort } : {}), ...(isOn ? { summary: 'auto' } : {}) },
    // What the vendor does not store must come back whole, so it must be asked for.
    ...(isOn && !isStored(request) ? { include: ['reasoning.encrypted_content'] } : {}),
  }
}

/** Whether the vendor keeps the items of a reply, so that their ids mean something to it later. */
function isStored(request: ChatRequest): boolean {
  return request.vendor?.['store'] !== false
}

function toolChoice(choice: ToolChoice | undefined): unknown {
  return typeof choice === 'object' ? { type: 'function', name: choice.name } : choice
}

function inputItems(request: ChatRequest, name: string): Fields[] {
  /** Calls of custom tools, whose results are items of another type. */
  const customIds = new Set<string>()
  return request.messages.flatMap((message) => {
    switch (message.role) {
      case 'user':
        return [
          {
            type: 'message',
            role: 'user',
            content: message.content.map((part) =>
              part.type === 'text' ? { type: 'input_text', text: part.text } : mediaPart(part, request, name),
            ),
          },
        ]
      case 'assistant':
        return assistantItems(message.content, request, name, customIds)
      case 'tool':
        return message.content.map((part) => ({
          type: customIds.has(part.toolCallId) ? 'custom_tool_call_output' : 'function_call_output',
          call_id: part.toolCallId,
          output: resultText(part.result),
        }))
    }
  })
}

function mediaPart(part: MediaPart, request: ChatRequest, name: string): Fields {
  if (part.type === 'image' || part.mediaType.startsWith('image/')) {
    return { type: 'input_image', image_url: dataUrl(part), detail: 'auto' }
  }
  if (/^(audio|video)\//.test(part.mediaType)) {
    refuse(
      name,
      request.model,
      `The Responses API takes no ${part.mediaType}. Sound in wav or mp3 goes with api: 'chat'.`,
    )
  }
  if (part.url) return { type: 'input_file', file_url: part.url }
  return { type: 'input_file', filename: fileName(part), file_data: dataUrl(part) }
}

/**
 * The items of one turn. A reasoning item goes back only before the text or the call that it led to: the vendor
 * answers 400 "provided without its required following item" where a reply was cut off behind it, or where a tool of
 * the server, which has no place in a message, stood between. A text or a call without its reasoning is welcome as
 * long as it bears no item id.
 */
function assistantItems(
  content: AssistantContent,
  request: ChatRequest,
  name: string,
  customIds: Set<string>,
): Fields[] {
  const items: Fields[] = []
  let thought: ReasoningPart[] = []
  for (const part of content) {
    if (part.type === 'reasoning') {
      if (!mayReturn(part, request, name)) continue
      if (thought[0]?.id === part.id) thought.push(part)
      else {
        warnOfOrphan(thought, request)
        thought = [part]
      }
      continue
    }
    if (part.type === 'text' && part.text === '') continue
    if (thought.length > 0) items.push(reasoningItem(thought))
    thought = []
    if (part.type === 'text') {
      const text = { type: 'output_text', text: part.text }
      items.push({ type: 'message', role: 'assistant', content: [text] })
    } else if (isCustomCall(part, request.tools)) {
      customIds.add(part.id)
      items.push({ type: 'custom_tool_call', call_id: part.id, name: part.name, input: part.arguments })
    } else {
      const call = { call_id: part.id, name: part.name, arguments: argumentsText(part.arguments) }
      items.push({ type: 'function_call', ...call })
    }
  }
  warnOfOrphan(thought, request)
  return items
}

function mayReturn(part: ReasoningPart, request: ChatRequest, name: string): boolean {
  if (!isOwnReasoning(part, name, request)) return false
  if (part.id && (part.signature || isStored(request))) return true
  request.warn({
    type: 'changed',
    subject: 'reasoning',
    message: `Reasoning without ${part.id ? 'its encrypted content' : 'an id'} was left out: ${name} takes it only as its own item.`,
  })
  return false
}

function warnOfOrphan(thought: readonly ReasoningPart[], request: ChatRequest): void {
  if (thought.length === 0) return
  request.warn({
    type: 'changed',
    subject: 'reasoning',
    message: 'Reasoning that led to no text and no tool call was left out.',
  })
}

function reasoningItem(parts: readonly ReasoningPart[]): Fields {
  const texts = parts.map((part) => part.text).filter((text) => text !== '')
  const signature = parts.findLast((part) => part.signature)?.signature
  return {
    type: 'reasoning',
    id: parts[0]?.id,
    summary: texts.map((text) => ({ type: 'summary_text', text })),
    ...(signature ? { encrypted_content: signature } : {}),
  }
}
