/** Makes responses of stored replies. */
import type { LLM } from '../llm/llm.ts'
import type { ReplyFields, StoredContent } from '../store/store.ts'
import type { AssistantPart, GenerateResponse } from '../types.ts'

/** A stored reply as a response again, without `raw`: the vendor's own object is not stored. */
export function storedResponse(reply: StoredContent & ReplyFields): GenerateResponse {
  const content: AssistantPart[] = reply.role === 'assistant' ? reply.content : []
  const reasoning = content.map((part) => (part.type === 'reasoning' ? part.text : '')).join('')
  const { refusal, rawFinishReason, costUsd } = reply
  return {
    content: content.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    ...(reasoning ? { reasoning } : {}),
    ...(refusal === undefined ? {} : { refusal }),
    toolCalls: content.flatMap((part) => {
      if (part.type !== 'tool-call') return []
      const { type: _type, ...call } = part
      return [call]
    }),
    finishReason: reply.finishReason ?? 'other',
    ...(rawFinishReason === undefined ? {} : { rawFinishReason }),
    usage: reply.usage ?? { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'estimated' },
    ...(costUsd === undefined ? {} : { costUsd }),
    provider: reply.provider ?? '',
    model: reply.model ?? '',
    id: reply.responseId ?? '',
    timing: reply.timing ?? { firstChunkMs: 0, totalMs: 0, attempts: 0 },
    warnings: reply.warnings ?? [],
    message: { role: 'assistant', content },
    raw: undefined,
  }
}

/** The empty response of a call that has not reached its vendor yet. */
export function emptyResponse(llm: LLM, model = llm.model ?? ''): GenerateResponse {
  return storedResponse({ role: 'assistant', content: [], provider: llm.provider, model })
}
