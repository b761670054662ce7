/** Gemini's `generateContent` and `streamGenerateContent`: what a request becomes, and what their events mean. */
import { types } from 'node:util'
import type { ReasoningEffort, ToolCallPart, ToolChoice, ToolDefinition } from '../../types.ts'
import {
  argumentsObject,
  isOwnReasoning,
  reasoningOf,
  resultText,
  warnUnsupported,
} from '../shared/mapping.ts'
import type { ChatRequest, MediaPart, RequestMessage } from '../../provider.ts'
import { isMadeUpId } from '../shared/tool-calls.ts'

export type Fields = Record<string, unknown>
type ToolResults = Extract<RequestMessage, { role: 'tool' }>['content']

/** The body of a request, without `vendor`. */
export function contentBody(request: ChatRequest, name: string): Fields & { generationConfig: Fields } {
  const { system, tools } = request
  warnUnsupported(request, name, ['metadata'])
  return {
    contents: contents(request, name),
    systemInstruction: system ? { parts: [{ text: system }] } : undefined,
    tools: tools?.length ? [{ functionDeclarations: tools.map(declaration) }] : undefined,
    toolConfig: tools?.length ? toolConfig(request.toolChoice) : undefined,
    generationConfig: {
      maxOutputTokens: request.maxTokens,
      temperature: request.temperature,
      topP: request.topP,
      topK: request.topK,
      stopSequences: request.stop,
      seed: request.seed,
      presencePenalty: request.presencePenalty,
      frequencyPenalty: request.frequencyPenalty,
      thinkingConfig: thinkingConfig(request, name),
      ...(request.outputSchema
        ? { responseMimeType: 'application/json', responseJsonSchema: request.outputSchema }
        : {}),
    },
  }
}

/**
 * `parametersJsonSchema` and not `parameters`: the latter is a subset of OpenAPI's schemas, and Gemini refuses a
 * request for `additionalProperties`, `$ref`, `const` and more in it.
 */
function declaration({ name, description, parameters }: ToolDefinition): Fields {
  return { name, description, parametersJsonSchema: parameters }
}

function toolConfig(choice: ToolChoice | undefined): Fields | undefined {
  if (choice === undefined) return undefined
  if (typeof choice === 'object') {
    return { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: [choice.name] } }
  }
  const mode = { auto: 'AUTO', none: 'NONE', required: 'ANY' }[choice]
  return { functionCallingConfig: { mode } }
}

/** Models before Gemini 3 take thinking as a budget alone, and ask for no signatures. */
const before3 = /gemini-[12][.-]/

/**
 * Gemini's levels of thinking; the efforts above take the highest. The budgets are those that Google's own
 * OpenAI-compatible endpoint takes for the same words (https://ai.google.dev/gemini-api/docs/openai).
 */
const thinking: Readonly<Record<Exclude<ReasoningEffort, 'none'>, { level: string; budget: number }>> = {
  minimal: { level: 'MINIMAL', budget: 1_024 },
  low: { level: 'LOW', budget: 1_024 },
  medium: { level: 'MEDIUM', budget: 8_192 },
  high: { level: 'HIGH', budget: 24_576 },
  xhigh: { level: 'HIGH', budget: 24_576 },
  max: { level: 'HIGH', budget: 24_576 },
}

function thinkingConfig(request: ChatRequest, name: string): Fields | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return undefined
  if (!isOn) return { thinkingBudget: 0 }
  const change = (message: string) => request.warn({ type: 'changed', subject: 'reasoning', message })
  if (maxTokens !== undefined) {
    if (effort) change(`${name} takes a budget or an effort, not both; the effort ${effort} was left out.`)
    return { thinkingBudget: maxTokens, includeThoughts: true }
  }
  if (!effort || effort === 'none') return { includeThoughts: true }
  if (effort === 'xhigh' || effort === 'max') {
    change(`${name} has no effort ${effort}; it was asked for high.`)
  }
  const { level, budget } = thinking[effort]
  return {
    ...(before3.test(request.model) ? { thinkingBudget: budget } : { thinkingLevel: level }),
    includeThoughts: true,
  }
}

/** The turns. Results of tools stand in one turn, in the order of their calls: without ids only the order tells. */
function contents(request: ChatRequest, name: string): Fields[] {
  const turns: Fields[] = []
  let calls: string[] = []
  let results: ToolResults = []
  const addResults = () => {
    const order = (id: string) => (calls.includes(id) ? calls.indexOf(id) : calls.length)
    results.sort((a, b) => order(a.toolCallId) - order(b.toolCallId))
    if (results.length > 0) turns.push({ role: 'user', parts: results.map(functionResponse) })
    results = []
  }
  for (const message of request.messages) {
    if (message.role === 'tool') {
      results.push(...message.content)
      continue
    }
    addResults()
    if (message.role === 'user') {
      turns.push({ role: 'user', parts: message.content.map(userPart) })
      continue
    }
    calls = message.content.flatMap((part) => (part.type === 'tool-call' ? [part.id] : []))
    const parts = modelParts(message, request, name)
    // Gemini takes no turn without parts: one that held another vendor's thoughts alone is left out.
    if (parts.length > 0) turns.push({ role: 'model', parts })
  }
  addResults()
  return turns
}

function userPart(part: { type: 'text'; text: string } | MediaPart): Fields {
  if (part.type === 'text') return { text: part.text }
  return part.url === undefined
    ? { inlineData: { mimeType: part.mediaType, data: part.base64 } }
    : { fileData: { mimeType: part.mediaType, fileUri: part.url } }
}

/**
 * Stands where a signature should: Gemini 3 refuses a turn whose first call has none, and calls that another vendor or
 * an older model made have none (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
const foreignSignature = 'skip_thought_signature_validator'

/** Signatures go back on the very parts that they came with. */
function modelParts(
  message: Extract<RequestMessage, { role: 'assistant' }>,
  request: ChatRequest,
  name: string,
): Fields[] {
  const calls = message.content.filter((part) => part.type === 'tool-call')
  const isSigned = calls.some((call) => call.signature)
  const isAskedFor = request.model.includes('gemini-') && !before3.test(request.model)
  return message.content.flatMap((part): Fields[] => {
    if (part.type === 'tool-call') {
      const replacement = isAskedFor && !isSigned && part === calls[0] ? foreignSignature : undefined
      return [{ functionCall: functionCall(part), ...signed(part.signature ?? replacement) }]
    }
    if (part.type === 'reasoning' && !isOwnReasoning(part, name, request)) return []
    if (!part.text && !part.signature) return []
    const thought = part.type === 'reasoning' ? { thought: true } : {}
    return [{ text: part.text, ...thought, ...signed(part.signature) }]
  })
}

function signed(thoughtSignature: string | undefined): Fields {
  return thoughtSignature ? { thoughtSignature } : {}
}

export function functionCall({ id, name, arguments: input }: ToolCallPart): Fields {
  return { ...vendorId(id), name, args: argumentsObject(input) }
}

function functionResponse({ toolCallId, name, result, isError }: ToolResults[number]): Fields {
  return { functionResponse: { ...vendorId(toolCallId), name, response: responseOf(result, isError) } }
}

/** A result as the object that Gemini wants. */
function responseOf(result: unknown, isError = false): unknown {
  if (isError) return { error: resultText(result) }
  const form = formOf(result)
  const isObject = typeof form === 'object' && form !== null && !Array.isArray(form)
  return isObject ? form : { result: form ?? null }
}

/** A date, or a boxed text, is an object whose JSON is none. */
function formOf(result: unknown): unknown {
  if (typeof result !== 'object' || result === null) return result
  const isOther = 'toJSON' in result || types.isBoxedPrimitive(result)
  return isOther ? (JSON.parse(JSON.stringify(result) ?? 'null') as unknown) : result
}

/**
 * Most of Gemini's calls have no id, and `ToolCalls` makes one up. Such an id stays here: to the vendor it would be one
 * that it never gave.
 */
function vendorId(id: string): { id?: string } {
  return isMadeUpId(id) ? {} : { id }
}
