/** Makes responses of stored replies. */
import type { LLM } from '../llm/llm.ts'
import { emptyResponse, responseFromParts } from '../response/response-builder.ts'
import type { ReplyFields, StoredContent } from '../store/store.ts'
import type { GenerateResponse } from '../types.ts'

/** A stored reply as a response again, without `raw`: the vendor's own object is not stored. */
export function storedResponse(reply: StoredContent & ReplyFields): GenerateResponse {
  const { finishReason, rawFinishReason, refusal, usage, costUsd, timing, warnings } = reply
  return responseFromParts(reply.role === 'assistant' ? reply.content : [], {
    provider: reply.provider ?? '',
    model: reply.model ?? '',
    id: reply.responseId,
    finishReason,
    rawFinishReason,
    refusal,
    usage,
    costUsd,
    timing,
    warnings,
  })
}

/** The empty response of a call that has not reached its vendor yet. */
export function responseBeforeCall(llm: LLM, model = llm.model ?? ''): GenerateResponse {
  return emptyResponse({ provider: llm.provider, model })
}
