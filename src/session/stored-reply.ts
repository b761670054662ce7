/** Replies out of the store, as responses. */
import type { LLM } from '../llm/llm.ts'
import { emptyResponse } from '../response/empty-response.ts'
import { responseFromParts } from '../response/response-from-parts.ts'
import type { ReplyFields, StoredContent } from '../store/store.ts'
import type { GenerateResponse } from '../types.ts'

/** A stored reply as the response that it once was; the vendor's own object is not kept. */
export function responseOf(reply: StoredContent & ReplyFields): GenerateResponse {
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

/** The response of a call that has not reached its vendor. */
export function unanswered(llm: LLM, model = llm.model ?? ''): GenerateResponse {
  return emptyResponse({ provider: llm.provider, model })
}
