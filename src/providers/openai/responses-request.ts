/** Maps a request to the body of OpenAI's Responses API. */
import type { ReasoningPart, ToolChoice } from '../../types.ts'
import type { ChatRequest, MediaPart } from '../../provider.ts'
import type { Fields } from '../shared/fields.ts'
import {
  isOwnReasoning,
  reasoningOf,
  argumentsText,
  dataUrl,
  resultText,
  toolParameters,
  refuse,
  warnChanged,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage } from '../shared/request-parts.ts'
import { fileName } from './file-name.ts'
import { isCustomCall } from './is-custom-call.ts'
import { isStrictSchema } from './is-strict-schema.ts'
import { warnOfBudget } from './warn-of-budget.ts'

/** The body of a request. */
export function responsesBody(request: ChatRequest, provider: string, stream: boolean): Fields {
  const { tools } = request
  if (request.stop?.length) {
    refuse(request, provider, "The Responses API has no stop option. Leave stop out, or use api: 'chat'.")
  }
  const api = `The Responses API of ${provider}`
  warnUnsupported(request, api, ['topK'])
  warnUnsupported(request, api, ['seed', 'frequencyPenalty', 'presencePenalty'], "api: 'chat' supports it.")
  const body: Fields = {
    model: request.model,
    instructions: request.system,
    input: inputItems(request, provider),
    temperature: request.temperature,
    top_p: request.topP,
    max_output_tokens: request.maxTokens,
    metadata: request.metadata,
    tools: tools?.map((tool) => ({
      type: 'function',
      name: tool.name,
      description: tool.description,
      parameters: toolParameters(tool),
      // This API is strict by default, and in strict mode it refuses schemas that were not written for it.
      strict: tool.strict ?? false,
    })),
    tool_choice: (tools ?? request.vendor?.['tools']) && toolChoice(request.toolChoice),
    text: textFormat(request.outputSchema),
    ...reasoningFields(request, provider),
  }
  return { ...body, ...request.vendor, stream }
}

function textFormat(schema: Fields | undefined): Fields | undefined {
  if (!schema) return undefined
  return { format: { type: 'json_schema', name: 'output', schema, strict: isStrictSchema(schema) } }
}

function reasoningFields(request: ChatRequest, provider: string): Fields {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return {}
  if (maxTokens && !effort) {
    warnOfBudget(request, provider)
    return {}
  }
  return {
    reasoning: { ...(effort ? { effort } : {}), ...(isOn ? { summary: 'auto' } : {}) },
    // The vendor must send reasoning that it does not store, because only then can the reasoning be sent back.
    ...(isOn && !isStored(request) ? { include: ['reasoning.encrypted_content'] } : {}),
  }
}

/** Whether the vendor stores the items of a reply, so that it knows their ids later. */
function isStored(request: ChatRequest): boolean {
  return request.vendor?.['store'] !== false
}

function toolChoice(choice: ToolChoice | undefined): unknown {
  return typeof choice === 'object' ? { type: 'function', name: choice.name } : choice
}

function inputItems(request: ChatRequest, provider: string): Fields[] {
  /** The ids of calls of custom tools. Their results are items of another type. */
  const customIds = new Set<string>()
  return request.messages.flatMap((message) => {
    switch (message.role) {
      case 'user':
        return [
          {
            type: 'message',
            role: 'user',
            content: message.content.map((part) =>
              part.type === 'text'
                ? { type: 'input_text', text: part.text }
                : mediaPart(part, request, provider),
            ),
          },
        ]
      case 'assistant':
        return assistantItems(message, request, provider, customIds)
      case 'tool':
        return message.content.map((part) => ({
          type: customIds.has(part.toolCallId) ? 'custom_tool_call_output' : 'function_call_output',
          call_id: part.toolCallId,
          output: resultText(part.result),
        }))
    }
  })
}

function mediaPart(part: MediaPart, request: ChatRequest, provider: string): Fields {
  if (part.type === 'image' || part.mediaType.startsWith('image/')) {
    return { type: 'input_image', image_url: dataUrl(part), detail: 'auto' }
  }
  if (/^(audio|video)\//.test(part.mediaType)) {
    refuse(
      request,
      provider,
      `The Responses API takes no ${part.mediaType}. Use api: 'chat' for sound in wav or mp3.`,
    )
  }
  if (part.url) return { type: 'input_file', file_url: part.url }
  return { type: 'input_file', filename: fileName(part), file_data: dataUrl(part) }
}

/**
 * The items of one turn. A reasoning item goes back only directly before the text or the call that it led to. Otherwise
 * the vendor answers 400 "provided without its required following item". That would happen when a reply was cut off
 * after its reasoning, or when a tool of the server, which a message cannot hold, came next. A text or a call without
 * its reasoning is accepted as long as it has no item id.
 */
function assistantItems(
  { content }: AssistantMessage,
  request: ChatRequest,
  provider: string,
  customIds: Set<string>,
): Fields[] {
  const items: Fields[] = []
  let reasoning: ReasoningPart[] = []
  for (const part of content) {
    if (part.type === 'reasoning') {
      if (!mayGoBack(part, request, provider)) continue
      if (reasoning[0]?.id === part.id) reasoning.push(part)
      else {
        warnIfLeftOut(reasoning, request)
        reasoning = [part]
      }
      continue
    }
    if (part.type === 'text' && part.text === '') continue
    if (reasoning.length > 0) items.push(reasoningItem(reasoning))
    reasoning = []
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
  warnIfLeftOut(reasoning, request)
  return items
}

function mayGoBack(part: ReasoningPart, request: ChatRequest, provider: string): boolean {
  if (!isOwnReasoning(part, provider, request)) return false
  if (part.id && (part.signature || isStored(request))) return true
  const missing = part.id ? 'its encrypted content' : 'an id'
  const message = `Reasoning without ${missing} was left out: ${provider} takes only reasoning items of its own.`
  warnChanged(request, 'reasoning', message)
  return false
}

/** Warns of reasoning that no text and no call followed. */
function warnIfLeftOut(reasoning: readonly ReasoningPart[], request: ChatRequest): void {
  if (reasoning.length === 0) return
  warnChanged(request, 'reasoning', 'Reasoning that led to no text and no tool call was left out.')
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
