/** Maps a request to the body of Gemini's `generateContent` and `streamGenerateContent`. */
import { types } from 'node:util'
import type { ReasoningEffort, ToolCallPart, ToolChoice, ToolDefinition } from '../../types.ts'
import type { ChatRequest } from '../../provider.ts'
import { isMadeUpId } from '../shared/tool-calls.ts'
import type { Fields } from '../shared/fields.ts'
import {
  isOwnReasoning,
  reasoningOf,
  argumentsObject,
  resultText,
  warnChanged,
  warnUnsupported,
} from '../shared/request-parts.ts'
import type { AssistantMessage, ToolMessage, UserMessage } from '../shared/request-parts.ts'

type ToolResults = ToolMessage['content']

/** The body of a request, without `vendor`. */
export function contentBody(request: ChatRequest, provider: string): Fields & { generationConfig: Fields } {
  const { system, tools } = request
  warnUnsupported(request, provider, ['metadata'])
  return {
    contents: contents(request, provider),
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
      thinkingConfig: thinkingConfig(request, provider),
      ...(request.outputSchema
        ? { responseMimeType: 'application/json', responseJsonSchema: request.outputSchema }
        : {}),
    },
  }
}

/**
 * The schema goes into `parametersJsonSchema`. The field `parameters` takes only a subset of OpenAPI's schemas, and
 * Gemini refuses a request that has `additionalProperties`, `$ref`, `const` and more in it.
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

/** Models before Gemini 3 take only a budget for thinking, and require no signatures. */
const beforeGemini3 = /gemini-[12][.-]/

/**
 * Gemini's level and budget of thinking for each effort; efforts above `high` get the highest. The budgets are those
 * that Google's own OpenAI-compatible endpoint uses for the same words
 * (https://ai.google.dev/gemini-api/docs/openai).
 */
const thinkingByEffort: Readonly<
  Record<Exclude<ReasoningEffort, 'none'>, { level: string; budget: number }>
> = {
  minimal: { level: 'MINIMAL', budget: 1_024 },
  low: { level: 'LOW', budget: 1_024 },
  medium: { level: 'MEDIUM', budget: 8_192 },
  high: { level: 'HIGH', budget: 24_576 },
  xhigh: { level: 'HIGH', budget: 24_576 },
  max: { level: 'HIGH', budget: 24_576 },
}

function thinkingConfig(request: ChatRequest, provider: string): Fields | undefined {
  const { effort, maxTokens, isOn } = reasoningOf(request.reasoning)
  if (isOn === undefined) return undefined
  if (!isOn) return { thinkingBudget: 0 }
  if (maxTokens !== undefined) {
    if (effort) {
      const message = `${provider} takes a token budget or an effort, not both; the effort ${effort} was left out.`
      warnChanged(request, 'reasoning', message)
    }
    return { thinkingBudget: maxTokens, includeThoughts: true }
  }
  if (!effort || effort === 'none') return { includeThoughts: true }
  if (effort === 'xhigh' || effort === 'max') {
    warnChanged(request, 'reasoning', `${provider} has no effort ${effort}; high was sent instead.`)
  }
  const { level, budget } = thinkingByEffort[effort]
  return {
    ...(beforeGemini3.test(request.model) ? { thinkingBudget: budget } : { thinkingLevel: level }),
    includeThoughts: true,
  }
}

/**
 * The turns of the conversation. Tool results stand in one turn, in the order of their calls, because without ids only
 * the order shows which result belongs to which call.
 */
function contents(request: ChatRequest, provider: string): Fields[] {
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
    const parts = modelParts(message, request, provider)
    // Gemini refuses a turn without parts, so a turn that held only another vendor's thoughts is left out.
    if (parts.length > 0) turns.push({ role: 'model', parts })
  }
  addResults()
  return turns
}

function userPart(part: UserMessage['content'][number]): Fields {
  if (part.type === 'text') return { text: part.text }
  return part.url === undefined
    ? { inlineData: { mimeType: part.mediaType, data: part.base64 } }
    : { fileData: { mimeType: part.mediaType, fileUri: part.url } }
}

/**
 * The replacement for a missing signature. Gemini 3 refuses a turn whose first call has no signature, and calls from
 * another vendor or an older model have none (https://ai.google.dev/gemini-api/docs/thought-signatures).
 */
const foreignSignature = 'skip_thought_signature_validator'

/** Each signature goes back on the part that it came with. */
function modelParts(message: AssistantMessage, request: ChatRequest, provider: string): Fields[] {
  const calls = message.content.filter((part) => part.type === 'tool-call')
  const isSigned = calls.some((call) => call.signature)
  const needsSignature = request.model.includes('gemini-') && !beforeGemini3.test(request.model)
  return message.content.flatMap((part): Fields[] => {
    if (part.type === 'tool-call') {
      const replacement = needsSignature && !isSigned && part === calls[0] ? foreignSignature : undefined
      return [{ functionCall: functionCall(part), ...signed(part.signature ?? replacement) }]
    }
    if (part.type === 'reasoning' && !isOwnReasoning(part, provider, request)) return []
    if (!part.text && !part.signature) return []
    const thought = part.type === 'reasoning' ? { thought: true } : {}
    return [{ text: part.text, ...thought, ...signed(part.signature) }]
  })
}

function signed(thoughtSignature: string | undefined): Fields {
  return thoughtSignature ? { thoughtSignature } : {}
}

function functionCall({ id, name, arguments: input }: ToolCallPart): Fields {
  return { ...vendorId(id), name, args: argumentsObject(input) }
}

function functionResponse({ toolCallId, name, result, isError }: ToolResults[number]): Fields {
  return { functionResponse: { ...vendorId(toolCallId), name, response: toolResponse(result, isError) } }
}

/** A tool's result as an object, because Gemini takes nothing else. */
function toolResponse(result: unknown, isError = false): unknown {
  if (isError) return { error: resultText(result) }
  const value = jsonValue(result)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? value : { result: value ?? null }
}

/** The value that JSON makes of a result. The JSON of a date or a boxed string is no object, although they are. */
function jsonValue(result: unknown): unknown {
  if (typeof result !== 'object' || result === null) return result
  const mayDiffer = 'toJSON' in result || types.isBoxedPrimitive(result)
  return mayDiffer ? (JSON.parse(JSON.stringify(result) ?? 'null') as unknown) : result
}

/**
 * The id of a call as the vendor knows it. Most of Gemini's calls have no id, and `ToolCalls` makes one up; such an id
 * is not sent, because the vendor never gave it.
 */
function vendorId(id: string): { id?: string } {
  return isMadeUpId(id) ? {} : { id }
}
