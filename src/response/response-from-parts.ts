/** Makes a response from the parts of its message. Every response of the library is made here. */
import type { AssistantPart, FinishReason, GenerateResponse, Timing, Usage, Warning } from '../types.ts'

/** What is known of a reply beside the parts of its message. */
export interface ResponseFacts {
  provider: string
  model: string
  /** @default 'other' */
  finishReason?: FinishReason | undefined
  rawFinishReason?: string | undefined
  refusal?: string | undefined
  /** @default no tokens, marked as an estimate */
  usage?: Usage | undefined
  costUsd?: number | undefined
  /** @default '' */
  id?: string | undefined
  /** @default no requests and no time */
  timing?: Timing | undefined
  /** @default none */
  warnings?: Warning[] | undefined
  raw?: unknown
}

export function responseFromParts(parts: AssistantPart[], facts: ResponseFacts): GenerateResponse {
  const { provider, model, finishReason = 'other', rawFinishReason, refusal, usage, costUsd } = facts
  const { id = '', timing, warnings = [], raw } = facts
  const reasoning = textOf(parts, 'reasoning')
  return {
    content: textOf(parts, 'text'),
    ...(reasoning ? { reasoning } : {}),
    ...(refusal === undefined ? {} : { refusal }),
    toolCalls: parts.flatMap((part) => {
      if (part.type !== 'tool-call') return []
      const { type: _type, ...call } = part
      return [call]
    }),
    finishReason,
    ...(rawFinishReason === undefined ? {} : { rawFinishReason }),
    usage: usage ?? { inputTokens: 0, outputTokens: 0, totalTokens: 0, source: 'estimated' },
    ...(costUsd === undefined ? {} : { costUsd }),
    provider,
    model,
    id,
    timing: timing ?? { firstChunkMs: 0, totalMs: 0, attempts: 0 },
    warnings,
    message: { role: 'assistant', content: parts },
    raw,
  }
}

function textOf(parts: readonly AssistantPart[], type: 'text' | 'reasoning'): string {
  let joined = ''
  for (const part of parts) if (part.type === type) joined += part.text
  return joined
}
